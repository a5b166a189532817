"""The audit trail as a chain: each entry's digest binds the one before, and a sealed head binds the last."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final

from orchestrator.domain.access import AuditEntry

BEGINNING: Final = ""
"""The digest before the first entry of a chain."""


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The end of the chain: its last entry, and the last entry that was pruned from its beginning.

    Entries up to `unchained` were written by a release without a chain: they have no digests, and the first entry
    after them covers all of them. `broken` is the first entry that was written after the chain was broken. `seal` holds
    keyed digests of the other fields, one for each secret key of the writer: access to the database alone is not enough
    to make them. `sealed_by` names the first of these keys.
    """

    number: int = 0
    digest: str = BEGINNING
    unchained: int = 0
    pruned: int = 0
    pruned_digest: str = BEGINNING
    broken: int | None = None
    sealed_by: str = ""
    seal: str = ""

    @property
    def content(self) -> str:
        """The text that the seal covers."""
        return json.dumps([value for name, value in fields_of(self).items() if name != "seal"])


@dataclass(frozen=True, slots=True)
class ChainVerdict:
    """The result of a check of the whole chain. `broken` is the first wrong entry, None if there is none."""

    checked: int
    head: ChainHead
    broken: int | None = None
    why: str = ""


def fields_of(part: AuditEntry | ChainHead) -> dict[str, Any]:
    """The fields of an entry or a head. `asdict` would copy each value, which takes longer than the digest."""
    return {name: getattr(part, name) for name in part.__dataclass_fields__}


def digest_of(entry: AuditEntry, before: str) -> str:
    """The digest of an entry. `before` is the digest of the entry before it."""
    fields = {name: value for name, value in fields_of(entry).items() if name not in ("at", "digest")}
    at = entry.at.astimezone(UTC).isoformat(timespec="microseconds")
    text = json.dumps([before, at, *(value for _, value in sorted(fields.items()))])
    return hashlib.sha256(text.encode()).hexdigest()
