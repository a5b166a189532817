"""Faults of a request: field, provided value and expected value, for the error shape of every surface (D-096)."""

import math
import re
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from starlette.requests import HTTPConnection

from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.near_matches import near_match
from orchestrator.domain.schemas import expected_of, field_at, fields_of

MAX_FAULTS: Final = 20
MAX_ECHO_LENGTH: Final = 200
_MAX_NAME_LENGTH: Final = 80

_TYPES: Final = {
    "bool": "boolean",
    "dict": "object",
    "float": "number",
    "int": "integer",
    "list": "array",
    "model": "object",
    "string": "string",
}
_BOUNDS: Final = {
    "ge": "at least {}",
    "gt": "more than {}",
    "le": "at most {}",
    "lt": "less than {}",
    "max_length": "at most {} {}",
    "min_length": "at least {} {}",
}
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")
_SECRETS: Final = frozenset({"password", "secret", "token", "refresh_token"})


class InvalidRequest(InvalidInput):
    """The request does not have the shape that the route declares. `missing` is true if a field is absent.

    `faults` are the first 20 faults in FastAPI's own form.
    """

    def __init__(
        self,
        message: str,
        *,
        faults: list[dict[str, Any]],
        field: str,
        provided: Any = None,
        expected: str | None = None,
        missing: bool = False,
    ) -> None:
        super().__init__(message, field=field, provided=provided, expected=expected)
        self.faults = faults
        self.missing = missing


def unknown_query(connection: HTTPConnection, allowed_names: frozenset[str]) -> InvalidInput | None:
    """Return the error for the first query parameter that is not in `allowed_names`, or None."""
    name = next((name for name in connection.query_params if name not in allowed_names), None)
    if name is None:
        return None
    short_name = name.encode(errors="replace").decode()[:_MAX_NAME_LENGTH]
    expected = f"one of {', '.join(sorted(allowed_names))}" if allowed_names else "no query parameters"
    hint = near_match(short_name, sorted(allowed_names)) or f" Expected {expected}"
    return InvalidInput(f"Unknown query parameter: {short_name}.{hint}", field=short_name, expected=expected)


def invalid_request(fault: RequestValidationError, schema: dict[str, Any] | None = None) -> InvalidRequest:
    """Return the error for the first fault of a request.

    `schema` is that of its body: it names the type of a missing field, and the valid fields for an unknown one.
    """
    errors: Sequence[Any] = fault.errors()
    error = errors[0]
    faults = [
        {"type": item["type"], "loc": list(item["loc"]), "msg": item["msg"]} for item in islice(errors, MAX_FAULTS)
    ]
    place, value, context = error["loc"], error.get("input"), error.get("ctx") or {}
    field_path, field_schema = field_at(schema or {}, place[1:])
    names = [part for part in field_path if isinstance(part, str)]
    if error["type"] == "extra_forbidden" or not names:
        names = [part for part in place[1:] if isinstance(part, str) and _NAME.fullmatch(part)]
    # Two levels name a field. Deeper parts are free-form, or pydantic's names of types.
    name = ".".join(names[:2]) or "body"
    provided = None if _SECRETS.intersection(place) else echo(value)
    match error["type"]:
        case "json_invalid":
            message = f"The body is not JSON: {context.get('error', 'syntax error')} at character {place[-1]}"
            return InvalidRequest(message, faults=faults, field="body", expected="JSON object")
        case "missing":
            is_body = name == "body"
            message = "Missing request body" if is_body else f"Missing required field: {name}"
            expected = "JSON object" if is_body else expected_of(schema or {}, field_schema)
            return InvalidRequest(message, faults=faults, field=name, expected=expected, missing=True)
        case "extra_forbidden":
            root = schema or {}
            fields = fields_of(root, field_at(root, place[1:-1])[1])
            expected = f"one of {', '.join(fields)}" if fields else "no such field"
            message = f"Unknown field: {name}"
            return InvalidRequest(message, faults=faults, field=name, provided=provided, expected=expected)
        case _ if isinstance(value, bytes):
            message = "The body must be JSON, sent with Content-Type: application/json"
            return InvalidRequest(message, faults=faults, field="body", expected="JSON object")
    expected = _expected(error["type"], value, context, error["msg"])
    message = f"Invalid value for {name}: expected {expected}"
    return InvalidRequest(message, faults=faults, field=name, provided=provided, expected=expected)


def echo(value: Any) -> Any:
    """Return the offending value, cut to a length that may be shown in an error."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value.encode(errors="replace").decode()[:MAX_ECHO_LENGTH]
    text = str(value)
    return text if len(text) <= MAX_ECHO_LENGTH else f"{text[:MAX_ECHO_LENGTH]}…"


def _expected(kind: str, value: Any, context: dict[str, Any], message: str) -> str:
    if "expected" in context:
        several = kind in ("literal_error", "enum")
        return f"one of {context['expected']}" if several else str(context["expected"])
    unit = "characters" if isinstance(value, str) else "items"
    for bound, template in _BOUNDS.items():
        if bound in context:
            return template.format(context[bound], unit)
    if kind == "string_pattern_mismatch":
        return f"text that matches {context['pattern']}"
    word, _, fault = kind.partition("_")
    if fault in ("type", "attributes_type", "parsing", "from_float") and word in _TYPES:
        return _TYPES[word]
    return message.removeprefix("Input should be ")
