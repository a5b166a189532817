"""Checks a job's input against the JSON Schema of what is to be run, before anything starts."""

import json
from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError

from orchestrator.domain.errors import InvalidInput

_SHOWN: Final = 100
# More faults than this are not looked for: an input of a million wrong items is refused as fast as one of twenty.
MOST_FAULTS: Final = 20
_FORMATS: Final = FormatChecker(formats=("date", "email", "ipv4", "ipv6", "time", "uuid"))


@_FORMATS.checks("date-time", raises=ValueError)
def _moment(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value) is not None


def check_input(schema: dict[str, Any], data: Any, *, formats: bool = True) -> None:
    """Return if `data` fits `schema`; keys that the schema does not name are allowed unless it forbids them (D-025).

    `formats` are those of JSON Schema, such as `date-time`.
    Raises `InvalidInput` for the first fault, a missing field before a wrong one: `field` is its dotted path,
    `provided` the value found (None when missing, shortened text when long), `expected` the type or the values allowed
    (D-029).
    """
    validator = Draft202012Validator(schema, format_checker=_FORMATS if formats else None)
    # A missing field of the whole is looked for by itself: it may lie behind too many wrong values.
    absent = validator.evolve(schema={name: schema[name] for name in ("required",) if name in schema})
    errors = [*islice(absent.iter_errors(data), 1), *islice(validator.iter_errors(data), MOST_FAULTS)]
    if not errors:
        return
    first = min(errors, key=lambda error: error.validator != "required")
    if first.validator == "required":
        raise _missing(schema, first)
    raise _wrong(schema, first)


def expected_of(root: dict[str, Any], schema: dict[str, Any]) -> str:
    """What is expected where a field is missing: its type, even where only some values are allowed (D-029).

    `root` resolves the references of `schema`.
    """
    schema = _resolved(root, schema)
    return schema["type"] if isinstance(schema.get("type"), str) else _expected(root, schema)


def field_at(root: dict[str, Any], path: Sequence[str | int]) -> tuple[list[str], dict[str, Any]]:
    """The names on a path that are fields of a JSON Schema, and the schema of the last one. Other parts of the path
    are skipped: pydantic names the members of a union, too."""
    names, schema = [], root
    for part in path:
        if (found := _part(root, schema, part)) is not None:
            schema = found
            names += [part] if isinstance(part, str) else []
    return names, schema


def _part(root: dict[str, Any], schema: dict[str, Any], part: str | int) -> dict[str, Any] | None:
    schema = _resolved(root, schema)
    found: dict[str, Any] | None
    if isinstance(part, int):
        found = schema["items"] if isinstance(schema.get("items"), dict) else None
    elif part in (mapping := schema.get("discriminator", {}).get("mapping", {})):
        found = {"$ref": mapping[part]}
    else:
        found = schema.get("properties", {}).get(part)
    options = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return found or next((inner for option in options if (inner := _part(root, option, part))), None)


def _resolved(root: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    ref = str(schema.get("$ref", ""))
    return root["$defs"][ref.removeprefix("#/$defs/")] if ref.startswith("#/$defs/") else schema


def _missing(schema: dict[str, Any], error: ValidationError) -> InvalidInput:
    required: Any = error.validator_value
    parent: Any = error.schema if error.absolute_path else schema
    given: Any = error.instance
    name = next(name for name in required if name not in given)
    field = ".".join([*map(str, error.absolute_path), name])
    wanted = parent.get("properties", {}).get(name, {})
    return InvalidInput(
        f"Missing required field: {field}", field=field, provided=None, expected=expected_of(schema, wanted)
    )


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
            return _expected(root, _resolved(root, schema))
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
            return "any JSON value"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
