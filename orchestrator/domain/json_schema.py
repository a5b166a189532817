"""Evaluates the JSON Schemas of authors, MCP servers and forms: the one place that does.

A schema can come from a stranger. So patterns are matched in linear time, references are never fetched, the work has a
limit, and every fault is an error of ours.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Final

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.near_matches import near_match
from orchestrator.domain.patterns import Patterns, pattern_fault
from orchestrator.domain.schemas import expected_by, expected_of, shown
from orchestrator.domain.text import error_message, error_name
from orchestrator.domain.text import name as one_line

# Validation stops at this number: an input with a million wrong items is refused as fast as one with twenty.
MAX_FAULTS: Final = 20
_FAULT_LENGTH: Final = 300
# References let a short schema ask for exponential work.
_STEPS: Final = 50_000
_STEPS_FOR_CHARACTER: Final = 20
_FORMATS: Final = FormatChecker(formats=("date", "email", "ipv4", "ipv6", "time", "uuid"))
_NO_FORMATS: Final = FormatChecker(formats=())
_SCHEMAS_BY_NAME: Final = ("$defs", "definitions", "dependentSchemas", "patternProperties", "properties")
_DATA: Final = ("const", "default", "enum", "example", "examples")
# They need the results of every other keyword, and jsonschema computes these again with Python's patterns.
_UNSUPPORTED: Final = ("unevaluatedItems", "unevaluatedProperties")


class SchemaFault(ValueError):
    """A schema that cannot be evaluated."""


@_FORMATS.checks("date-time", raises=ValueError)
def _moment(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value) is not None


def check_input(schema: dict[str, Any], data: Any, *, formats: bool = True, whole: str = "input") -> None:
    """Check `data` against `schema`. Keys that the schema does not name are allowed unless it forbids them (D-025).

    `formats` are those of JSON Schema, such as `date-time`. `whole` is the name of the data itself in faults.
    Raises `InvalidInput` for the first fault, a missing field before a wrong one. `field` is its dotted path,
    `provided` the value (None if missing, shortened if long), `expected` the type or the allowed values (D-029).
    """
    # Missing top-level fields are checked separately: too many wrong values may come before them.
    absent = {name: schema[name] for name in ("required",) if name in schema}
    checker = _FORMATS if formats else None
    try:
        errors = [*_errors(absent, data, 1, None), *_errors(schema, data, MAX_FAULTS, checker)]
    except SchemaFault as error:
        message = f"The value of {whole} cannot be checked: {error}"
        raise InvalidInput(message, field=whole, expected="a value that its JSON Schema can check") from error
    if not errors:
        return
    first = min(errors, key=lambda error: error.validator != "required")
    if first.validator == "required":
        raise _missing(schema, first)
    if first.validator == "additionalProperties" and first.validator_value is False:
        raise _unknown(first)
    raise _wrong(schema, first, whole)


def faults_of(schema: dict[str, Any], data: Any, limit: int) -> list[str]:
    """The first faults of a value, each with its place, for a model. Raises `SchemaFault`."""
    return [one_line(f"{error.json_path}: {error.message}", _FAULT_LENGTH) for error in _errors(schema, data, limit)]


def schema_fault(schema: Any) -> str | None:
    """Why a schema is not JSON Schema, or cannot be evaluated, such as `is not JSON Schema: …`; None if it can."""
    try:
        first = next(Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema), None)
        if first is not None:
            return f"is not JSON Schema: at {first.json_path}: {one_line(first.message, _FAULT_LENGTH)}"
        resolver = Registry().resolver_with_root(DRAFT202012.create_resource(schema))
        faults = (fault for part, base in _parts(schema, resolver) for fault in _faults_of_part(part, base))
        return next((f"cannot be evaluated: {fault}" for fault in faults), None)
    except Exception as error:  # noqa: BLE001 - the edge of the library: a schema of others can break it anywhere
        return f"cannot be evaluated: {_broken(error)}"


def evaluable(schema: dict[str, Any]) -> dict[str, Any]:
    """A copy of a schema without the keywords that are not evaluated here: such patterns, and `unevaluated…`."""

    def change(part: dict[str, Any]) -> dict[str, Any]:
        left_out: set[str] = {name for name in _UNSUPPORTED if name in part}
        if isinstance(part.get("pattern"), str) and pattern_fault(part["pattern"]):
            left_out.add("pattern")
        named = part.get("patternProperties")
        if isinstance(named, Mapping) and any(map(pattern_fault, named)):
            left_out |= {"patternProperties", "additionalProperties"}
        return {name: value for name, value in part.items() if name not in left_out}

    changed: dict[str, Any] = rewritten(schema, change)
    return changed


def rewritten(schema: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """A copy of a schema in which `change` replaces each part that is a schema. Values such as `default` stay."""
    if isinstance(schema, list):
        return [rewritten(part, change) for part in schema]
    if not isinstance(schema, dict):
        return schema
    copy = {}
    for name, value in schema.items():
        if name in _SCHEMAS_BY_NAME and isinstance(value, dict):
            copy[name] = {inner: rewritten(part, change) for inner, part in value.items()}
        else:
            copy[name] = value if name in _DATA else rewritten(value, change)
    return change(copy)


@dataclass(slots=True)
class _Work:
    """What one evaluation may still do."""

    steps: int
    patterns: Patterns = field(default_factory=Patterns)

    def step(self, steps: int = 1) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise SchemaFault("its JSON Schema needs too much work for it")


_WORK: Final[ContextVar[_Work]] = ContextVar("work")


def _errors(
    schema: dict[str, Any], data: Any, limit: int, formats: FormatChecker | None = None
) -> list[ValidationError]:
    """The first errors of a value. Raises `SchemaFault`."""
    if not schema:
        return []
    try:
        length = len(json.dumps(data, default=str))
        token = _WORK.set(_Work(_STEPS + _STEPS_FOR_CHARACTER * length))
        try:
            evaluator = _Evaluator(schema, registry=Registry(), format_checker=formats)
            return list(islice(evaluator.iter_errors(data), limit))
        finally:
            _WORK.reset(token)
    except SchemaFault:
        raise
    except Exception as error:
        # The edge of the library: a schema of others can break it anywhere.
        raise SchemaFault(_broken(error)) from error


def _broken(error: Exception) -> str:
    if isinstance(error, Unresolvable):
        return f"reference {str(error.ref)[:200]!r} leads nowhere: a schema must contain what it refers to"
    if isinstance(error, RecursionError):
        return "the schema, or the value, is nested too deeply, or refers to itself"
    return one_line(error_message(error) or error_name(error), _FAULT_LENGTH)


def _parts(schema: Any, resolver: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """Each part that is a schema, with what resolves its references."""
    if isinstance(schema, list):
        for part in schema:
            yield from _parts(part, resolver)
    if not isinstance(schema, dict):
        return
    resolver = resolver.in_subresource(DRAFT202012.create_resource(schema))
    yield schema, resolver
    for name, value in schema.items():
        if name in _SCHEMAS_BY_NAME and isinstance(value, dict):
            for part in value.values():
                yield from _parts(part, resolver)
        elif name not in _DATA:
            yield from _parts(value, resolver)


def _faults_of_part(part: dict[str, Any], resolver: Any) -> Iterator[str]:
    for name in _UNSUPPORTED:
        if name in part:
            yield f"{name} is not supported: use additionalProperties, or items"
    patterns = [part["pattern"]] if isinstance(part.get("pattern"), str) else []
    for pattern in [*patterns, *part.get("patternProperties", {})]:
        if fault := pattern_fault(pattern):
            yield f"{fault}. Patterns are those of Rust's regex, which match in linear time; check the rest in code"
    for name in ("$ref", "$dynamicRef"):
        if isinstance(part.get(name), str):
            resolver.lookup(part[name])


# Keywords as jsonschema calls them: the evaluator, the keyword's value, the data, and the schema around it.
_Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


def _counted(keyword: _Keyword) -> _Keyword:
    def check(evaluator: Any, value: Any, data: Any, schema: Any) -> Iterator[ValidationError] | None:
        _WORK.get().step()
        return keyword(evaluator, value, data, schema)

    return check


def _pattern(evaluator: Any, pattern: str, data: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(data, str) and not _WORK.get().patterns.matches(pattern, data):
        yield ValidationError(f"{shown(data)} does not match {pattern!r}")


def _pattern_properties(evaluator: Any, patterns: dict[str, Any], data: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(data, dict):
        return
    for pattern, part in patterns.items():
        for name, value in data.items():
            if _WORK.get().patterns.matches(pattern, name):
                yield from evaluator.descend(value, part, path=name, schema_path=pattern)


def _additional_properties(evaluator: Any, rest: Any, data: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(data, dict):
        return
    names, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    matches = _WORK.get().patterns.matches
    others = [name for name in data if name not in names and not any(matches(each, name) for each in patterns)]
    if rest is False and others:
        unknown = ", ".join(shown(name) for name in others[:3])
        yield ValidationError(f"{unknown} unexpected: the properties are {', '.join(names)[:200]}", path=[others[0]])
    elif isinstance(rest, dict):
        for name in others:
            yield from evaluator.descend(data[name], rest, path=name)


def _unique_items(evaluator: Any, unique: Any, data: Any, schema: Any) -> Iterator[ValidationError]:
    if unique and isinstance(data, list) and len({_identity(item) for item in data}) < len(data):
        yield ValidationError(f"{shown(data)} has non-unique elements")


def _identity(value: Any) -> Any:
    """What is equal for equal JSON values: 1 and 1.0 are, 1 and true are not."""
    match value:
        case dict():
            return "object", frozenset((name, _identity(part)) for name, part in value.items())
        case list():
            return "array", tuple(map(_identity, value))
        case bool():
            return "boolean", value
        case _:
            return value


def _enum(evaluator: Any, values: list[Any], data: Any, schema: Any) -> Iterator[ValidationError] | None:
    _WORK.get().step(len(values))
    errors: Iterator[ValidationError] | None = Draft202012Validator.VALIDATORS["enum"](evaluator, values, data, schema)
    return errors


def _unsupported(evaluator: Any, value: Any, data: Any, schema: Any) -> Iterator[ValidationError]:
    raise SchemaFault("it uses unevaluatedProperties or unevaluatedItems, which are not supported")


def _same_evaluator(self: Any, **changes: Any) -> Any:
    """Evaluate a part with this class. The library's method follows the `$schema` of a part to its own classes."""
    fields = {"schema": self.schema, "format_checker": self.format_checker, "_resolver": self._resolver}
    return type(self)(**{**fields, **changes})


_Evaluator: Final[Any] = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {name: _counted(keyword) for name, keyword in Draft202012Validator.VALIDATORS.items()}
    | {
        "pattern": _counted(_pattern),
        "patternProperties": _counted(_pattern_properties),
        "additionalProperties": _counted(_additional_properties),
        "uniqueItems": _counted(_unique_items),
        "enum": _enum,
    }
    | dict.fromkeys(_UNSUPPORTED, _unsupported),
)
_Evaluator.evolve = _same_evaluator


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


def _unknown(error: ValidationError) -> InvalidInput:
    field = ".".join(map(str, error.absolute_path))
    parent, data = error.schema, error.instance
    names = list(parent.get("properties", ())) if isinstance(parent, dict) else []
    name = str(error.absolute_path[-1])
    value = data.get(name) if isinstance(data, dict) else None
    text = shown(value)
    expected = f"one of: {', '.join(names)}"[:_FAULT_LENGTH] if names else "no such field"
    message = f"Unknown field: {field}.{near_match(name, names) or f' Expected {expected}'}"
    return InvalidInput(message, field=field, provided=text if text.endswith("…") else value, expected=expected)


def _wrong(schema: dict[str, Any], error: ValidationError, whole: str) -> InvalidInput:
    field = ".".join(map(str, error.absolute_path)) or whole
    if error.validator in ("type", "enum", "const", "anyOf", "oneOf"):
        expected = expected_by(schema, {error.validator: error.validator_value})
    else:
        expected = f"{error.validator}: {shown(error.validator_value)}"
    text = shown(error.instance)
    provided = text if text.endswith("…") else error.instance
    message = f"Invalid value for field {field}: got {text}, expected {expected}"
    return InvalidInput(message, field=field, provided=provided, expected=expected)
