"""Fills the typed fields of an agent's output model from its JSON Schema and the subject."""

import re
from typing import Any, Final

from orchestrator.domain.patterns import Patterns, TooMuchWork, UnsupportedPattern
from orchestrator.runtime.offline.subject import Subject
from orchestrator.runtime.offline.words import kebab

_DEPTH: Final = 6
_REPLACED: Final = ("anyOf", "oneOf", "allOf", "default")
_FORMATS: Final = {
    "date": "2026-01-05",
    "time": "09:00:00Z",
    "date-time": "2026-01-05T09:00:00Z",
    "duration": "P1D",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uri": "https://example.com/",
    "email": "team@example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}


class FieldFiller:
    """Fills the values of a schema. `$ref` refers to its `$defs`."""

    def __init__(self, schema: dict[str, Any], subject: Subject) -> None:
        self._schema = schema
        self._subject = subject

    def fields(self, leave: frozenset[str]) -> dict[str, Any]:
        """A value for every property of the schema, except those in `leave`."""
        properties = self._schema.get("properties", {})
        return {name: self._value(name, inner, 0, 0) for name, inner in properties.items() if name not in leave}

    def _value(self, name: str, schema: dict[str, Any], index: int, depth: int) -> Any:
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][index % len(schema["enum"])]
        if "default" in schema and schema["default"] not in ("", [], {}, None):
            return schema["default"]
        kind = schema.get("type", "object" if "properties" in schema else "string")
        match kind[0] if isinstance(kind, list) else kind:
            case "object":
                return self._object(name, schema, index, depth)
            case "array":
                return self._array(name, schema, depth)
            case "integer" | "number":
                return self._number(schema, index)
            case "boolean" | "null" as plain:
                return False if plain == "boolean" else None
            case _:
                return self._text(name, schema, index)

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Resolve `$ref`, `allOf` and the first alternative that is not null."""
        while True:
            if "$ref" in schema:
                target = self._schema.get("$defs", {}).get(schema["$ref"].rsplit("/", 1)[-1], {})
                schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
            elif options := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
                alternative = next((option for option in options if option.get("type") != "null"), options[0])
                schema = {key: value for key, value in schema.items() if key not in _REPLACED} | alternative
            else:
                return schema

    def _object(self, name: str, schema: dict[str, Any], index: int, depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        if depth >= _DEPTH:
            properties = {key: properties[key] for key in schema.get("required", []) if key in properties}
        if properties:
            return {key: self._value(key, inner, index, depth + 1) for key, inner in properties.items()}
        inner = schema.get("additionalProperties")
        if not isinstance(inner, dict):
            return {}
        # Numbers are valid keys of type `str` and of type `int`.
        length = max(schema.get("minProperties", 0), min(len(self._subject.points), 4))
        keys = self._resolved(schema.get("propertyNames", {})).get("enum") or [str(n) for n in range(1, length + 1)]
        return {key: self._value(name, inner, n, depth + 1) for n, key in enumerate(keys)}

    def _array(self, name: str, schema: dict[str, Any], depth: int) -> list[Any]:
        if prefix := schema.get("prefixItems"):
            return [self._value(name, inner, n, depth + 1) for n, inner in enumerate(prefix)]
        # Nested lists stay short, and end at the depth limit.
        length = min(len(self._subject.points), (4, 2)[depth] if depth < 2 else int(depth < _DEPTH))
        length = max(schema.get("minItems", 0), min(length, schema.get("maxItems", length)))
        return [self._value(name, schema.get("items", {}), n, depth + 1) for n in range(length)]

    def _number(self, schema: dict[str, Any], index: int) -> int | float:
        """A small number within the limits of the schema."""
        above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
        low = schema.get("minimum") if above is None else above
        high = schema.get("maximum") if below is None else below
        step = schema.get("multipleOf", 1)
        gap = step if schema.get("type") == "integer" or low is None or high is None else (high - low) / 2
        high = high if below is None else high - gap
        low = low if above is None else low + gap
        if low is None:
            low = 1 if high is None else min(1, high)
        first = -(-low // step) * step if "multipleOf" in schema else low
        value = first + index * step
        return first if high is not None and value > high else value

    def _text(self, name: str, schema: dict[str, Any], index: int) -> str:
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        points = self._subject.points
        point = points[index % len(points)]
        candidates = {
            "id": point.id,
            "name": point.name,
            "path": f"/{kebab(point.name)}",
            "version": "0.1.0",
        }
        label = name.replace("_", " ")
        text = candidates.get(name, f"{label[:1].upper()}{label[1:]} for {point.id}: {point.text} (offline draft)")
        if index >= len(points):
            text = f"{text} {index + 1}"
        if pattern := schema.get("pattern"):
            options = [
                text,
                *candidates.values(),
                *re.split(r"[|()^$]+", pattern),
                "A1",
                "1",
                "a",
                f"US-{index + 1:03d}",
            ]
            text = next((option for option in options if _matches(pattern, option)), text)
        if (low := schema.get("minLength", 0)) > len(text):
            text = text.ljust(low, ".")
        return text[: schema.get("maxLength", len(text))]


def _matches(pattern: str, text: str) -> bool:
    try:
        return Patterns().matches(pattern, text)
    except (UnsupportedPattern, TooMuchWork):
        return False
