"""Checks values against a JSON Schema and names the first fault."""

from datetime import datetime
from itertools import islice
from typing import Any, Final

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError

from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.schemas import expected_by, expected_of, shown

# Validation stops at this number: an input with a million wrong items is refused as fast as one with twenty.
MAX_FAULTS: Final = 20
_FORMATS: Final = FormatChecker(formats=("date", "email", "ipv4", "ipv6", "time", "uuid"))


@_FORMATS.checks("date-time", raises=ValueError)
def _moment(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value) is not None


def check_input(schema: dict[str, Any], data: Any, *, formats: bool = True) -> None:
    """Check `data` against `schema`. Keys that the schema does not name are allowed unless it forbids them (D-025).

    `formats` are those of JSON Schema, such as `date-time`.
    Raises `InvalidInput` for the first fault, a missing field before a wrong one. `field` is its dotted path,
    `provided` the value (None if missing, shortened if long), `expected` the type or the allowed values (D-029).
    """
    validator = Draft202012Validator(schema, format_checker=_FORMATS if formats else None)
    # Missing top-level fields are checked separately: too many wrong values may come before them.
    absent = validator.evolve(schema={name: schema[name] for name in ("required",) if name in schema})
    errors = [*islice(absent.iter_errors(data), 1), *islice(validator.iter_errors(data), MAX_FAULTS)]
    if not errors:
        return
    first = min(errors, key=lambda error: error.validator != "required")
    if first.validator == "required":
        raise _missing(schema, first)
    raise _wrong(schema, first)


def _missing(schema: dict[str, Any], error: ValidationError) -> InvalidInput:
    required: Any = error.validator_value
    parent: Any = error.schema if error.absolute_path else schema
    instance: Any = error.instance
    name = next(name for name in required if name not in instance)
    field = ".".join([*map(str, error.absolute_path), name])
    field_schema = parent.get("properties", {}).get(name, {})
    return InvalidInput(
        f"Missing required field: {field}", field=field, provided=None, expected=expected_of(schema, field_schema)
    )


def _wrong(schema: dict[str, Any], error: ValidationError) -> InvalidInput:
    field = ".".join(map(str, error.absolute_path)) or "input"
    if error.validator in ("type", "enum", "const", "anyOf", "oneOf"):
        expected = expected_by(schema, {error.validator: error.validator_value})
    else:
        expected = f"{error.validator}: {shown(error.validator_value)}"
    text = shown(error.instance)
    provided = text if text.endswith("…") else error.instance
    message = f"Invalid value for field {field}: got {text}, expected {expected}"
    return InvalidInput(message, field=field, provided=provided, expected=expected)
