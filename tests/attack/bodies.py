"""The worst bodies that a route may be sent: as long as the limit lets through, and wrong in every place."""

import json
from collections.abc import Iterator
from typing import Any, Final

MANY: Final = 200_000
MOST: Final = 1_000_000
DEEP: Final = 100_000


def worst_bodies(
    schema: dict[str, Any], document: dict[str, Any], *, scale: float = 1.0
) -> Iterator[tuple[str, bytes]]:
    """Bodies for a route with this JSON Schema, each with its kind. `scale` makes them smaller."""
    many, most = int(MANY * scale), int(MOST * scale)
    known = _resolved(schema, document)
    sound = _example(known, document)
    fields = known.get("properties", {})
    yield "unknown fields", _json({**sound, **{f"x{number}": number for number in range(many)}})
    yield "a list for an object", _json([1] * most)
    yield "nested", b'{"input":' * int(DEEP * scale) + b"1" + b"}" * int(DEEP * scale)
    for name, field in fields.items():
        kinds = _kinds(_resolved(field, document), document)
        if "array" in kinds:
            yield f"wrong items in {name}", _json({**sound, name: [{}] * many})
            yield f"items in {name}", _json({**sound, name: ["x"] * many})
        if "object" in kinds:
            yield f"keys in {name}", _json({**sound, name: {f"k{number}": {} for number in range(many)}})
            yield f"a wrong list in {name}", _json({**sound, name: {"a": [[]] * many, "constraints": [1] * many}})
        if "string" in kinds:
            yield f"length of {name}", _json({**sound, name: "x" * (2 * most)})


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _resolved(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        place: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            place = place[part]
        schema = place
    return schema


def _kinds(schema: dict[str, Any], document: dict[str, Any]) -> set[str]:
    kinds = {schema["type"]} if isinstance(schema.get("type"), str) else set(schema.get("type", []))
    for word in ("anyOf", "oneOf", "allOf"):
        for part in schema.get(word, []):
            kinds |= _kinds(_resolved(part, document), document)
    return kinds


def _example(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """What an object has to have, each field with a value of its type."""
    values: dict[str, Any] = {"string": "x", "integer": 1, "number": 1.0, "boolean": True, "array": [], "object": {}}
    found = {}
    for name in schema.get("required", []):
        field = _resolved(schema.get("properties", {}).get(name, {}), document)
        if "enum" in field:
            found[name] = field["enum"][0]
        else:
            found[name] = next((values[kind] for kind in values if kind in _kinds(field, document)), "x")
    return found
