"""Reads JSON Schemas: a short description of the expected value, and the fields of a path."""

import json
from collections.abc import Sequence
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

_SHOWN: Final = 100


def schema_of(kind: Any) -> dict[str, Any] | None:
    """The JSON Schema of a type; None for no type."""
    return None if kind is None else TypeAdapter(kind).json_schema()


def has_schema(kind: Any) -> bool:
    """Whether pydantic can read the type."""
    try:
        schema_of(kind)
    except (PydanticSchemaGenerationError, PydanticUserError):
        return False
    return True


def expected_of(root: dict[str, Any], schema: dict[str, Any]) -> str:
    """The expected type of a missing field, even if only some values are allowed (D-029).

    `root` resolves the references of `schema`.
    """
    schema = _resolved(root, schema)
    return schema["type"] if isinstance(schema.get("type"), str) else expected_by(root, schema)


def field_at(root: dict[str, Any], path: Sequence[str | int]) -> tuple[list[str | int], dict[str, Any]]:
    """The parts of a path that are fields or items in a JSON Schema, and the schema of the last one. Other parts are
    skipped: pydantic also puts the members of a union into paths."""
    names: list[str | int] = []
    schema = root
    for part in path:
        if (inner := _part(root, schema, part)) is not None:
            schema = inner
            names.append(part)
    return names, schema


def fields_of(root: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    """The fields that a schema declares, in order; those of all its options for a union."""
    schema = _resolved(root, schema)
    options = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    names = [*schema.get("properties", {}), *(name for option in options for name in fields_of(root, option))]
    return list(dict.fromkeys(names))


def _part(root: dict[str, Any], schema: dict[str, Any], part: str | int) -> dict[str, Any] | None:
    schema = _resolved(root, schema)
    part_schema: dict[str, Any] | None
    if isinstance(part, int):
        part_schema = schema["items"] if isinstance(schema.get("items"), dict) else None
    elif part in (mapping := schema.get("discriminator", {}).get("mapping", {})):
        part_schema = {"$ref": mapping[part]}
    else:
        part_schema = schema.get("properties", {}).get(part)
    options = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return part_schema or next((inner for option in options if (inner := _part(root, option, part))), None)


def _resolved(root: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    ref = str(schema.get("$ref", ""))
    return root["$defs"][ref.removeprefix("#/$defs/")] if ref.startswith("#/$defs/") else schema


def expected_by(root: dict[str, Any], schema: dict[str, Any]) -> str:
    """The value that a schema expects, in a few words such as `string` or `one of: rest, graphql`."""
    match schema:
        case {"$ref": str(ref)} if ref.startswith("#/$defs/"):
            return expected_by(root, _resolved(root, schema))
        case {"enum": [*values]}:
            return "one of: " + ", ".join(map(_plain, values))
        case {"const": value}:
            return _plain(value)
        case {"type": str(kind)}:
            return kind
        case {"type": [*kinds]}:
            return " or ".join(kinds)
        case {"anyOf": [*options]} | {"oneOf": [*options]}:
            return " or ".join(dict.fromkeys(expected_by(root, option) for option in options))
        case _:
            return "any JSON value"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def shown(value: Any) -> str:
    """A value as JSON, shortened to 100 characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
