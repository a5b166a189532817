"""Checks a job's input against the JSON Schema of what is to be run, before anything starts."""

import json
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from orchestrator.domain.errors import InvalidInput

_SHOWN: Final = 100


def check_input(schema: dict[str, Any], data: Any) -> None:
    """Return if `data` fits `schema`; keys that the schema does not name are allowed unless it forbids them (D-025).

    Raises `InvalidInput` for the first fault, a missing field before a wrong one: `field` is its dotted path,
    `provided` the value found (None when missing, shortened text when long), `expected` the type or the values allowed
    (D-029).
    """
    errors = list(Draft202012Validator(schema).iter_errors(data))
    if not errors:
        return
    first = min(errors, key=lambda error: error.validator != "required")
    if first.validator == "required":
        raise _missing(schema, first)
    raise _wrong(schema, first)


def _missing(schema: dict[str, Any], error: ValidationError) -> InvalidInput:
    required: Any = error.validator_value
    parent: Any = error.schema
    given: Any = error.instance
    name = next(name for name in required if name not in given)
    field = ".".join([*map(str, error.absolute_path), name])
    wanted = parent.get("properties", {}).get(name, {})
    # Of a missing field the type is told, even where only some values are allowed (D-029).
    expected = wanted["type"] if isinstance(wanted.get("type"), str) else _expected(schema, wanted)
    return InvalidInput(f"Missing required field: {field}", field=field, provided=None, expected=expected)


def _wrong(schema: dict[str, Any], error: ValidationError) -> InvalidInput:
    field = ".".join(map(str, error.absolute_path)) or "input"
    if error.validator in ("type", "enum", "const", "anyOf", "oneOf"):
        expected = _expected(schema, {error.validator: error.validator_value})
    else:
        expected = f"{error.validator}: {_shown(error.validator_value)}"
    shown = _shown(error.instance)
    provided = shown if shown.endswith("…") else error.instance
    message = f"Invalid value for field {field}: got {shown}, expected {expected}"
    return InvalidInput(message, field=field, provided=provided, expected=expected)


def _expected(root: dict[str, Any], schema: dict[str, Any]) -> str:
    """What a schema asks for, in a few words such as `string` or `one of: rest, graphql`."""
    match schema:
        case {"$ref": str(ref)} if ref.startswith("#/$defs/"):
            return _expected(root, root["$defs"][ref.removeprefix("#/$defs/")])
        case {"enum": [*values]}:
            return "one of: " + ", ".join(map(_plain, values))
        case {"const": value}:
            return _plain(value)
        case {"type": str(kind)}:
            return kind
        case {"type": [*kinds]}:
            return " or ".join(kinds)
        case {"anyOf": [*options]} | {"oneOf": [*options]}:
            return " or ".join(dict.fromkeys(_expected(root, option) for option in options))
        case _:
            return "a value"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
