"""Limits of rows: how many an owner may have, and how large one may be."""

from typing import Any, Final

from pydantic_core import to_json

from orchestrator.domain.errors import InvalidInput

MAX_WEBHOOKS: Final = 50
MAX_KEYS: Final = 100
MAX_SESSIONS: Final = 100
ROW_BYTES: Final = 64 * 1024
LIST_BYTES: Final = 1024 * 1024
"""The most bytes of row contents in one list."""


def check_size(field: str, **values: Any) -> None:
    """Raises `InvalidInput` if the values together are larger, as JSON, than a row may be."""
    size = len(to_json(values))
    if size > ROW_BYTES:
        raise InvalidInput(
            f"invalid {field}: the row would be {size} bytes as JSON; at most {ROW_BYTES} are allowed",
            field=field,
            expected=f"at most {ROW_BYTES} bytes as JSON",
            limit="row_bytes",
            allowed=ROW_BYTES,
            used=size,
        )


def limit_error(kind: str, allowed: int, used: int, remedy: str) -> InvalidInput:
    """The error for a row over the limit of its kind."""
    return InvalidInput(
        f"limit reached: {used} of {allowed} {kind} per account; {remedy}",
        limit=kind,
        allowed=allowed,
        used=used,
    )
