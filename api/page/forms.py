"""Forms from JSON Schemas: the fields to draw, and the value that a submitted form stands for. Pure."""

import json
from dataclasses import dataclass
from typing import Any, Final

from api.page.visitors import Form
from api.storable import storable
from orchestrator.domain.errors import InvalidInput

WHOLE: Final = "input"
"""The field for the whole value, of a schema without declared fields."""
_NOTHING: Final = {"type": "null"}
_PREFIX: Final = "f."
_LONG: Final = 200  # A text that may be longer gets several lines.
_SINGLE_LINE: Final = {"date": "date", "email": "email", "uri": "url", "time": "time"}


@dataclass(frozen=True, slots=True)
class FormField:
    """One field: `kind` is its control, `text` its present content, `limits` what the browser checks."""

    name: str
    label: str
    kind: str
    is_required: bool
    hint: str
    text: str
    options: list[str]
    limits: dict[str, Any]
    fault: str = ""

    @property
    def input_name(self) -> str:
        """The name of its control."""
        return self.name if self.kind == "whole" else _PREFIX + self.name


def fields_of_form(
    schema: dict[str, Any], values: dict[str, Any], fault: InvalidInput | None = None, texts: Form | None = None
) -> list[FormField]:
    """The fields of a schema with these values, or as they were submitted. `fault` is shown at its field."""
    properties: dict[str, Any] = schema.get("properties") or {}
    if not properties:
        text = texts.text(WHOLE) if texts else (json.dumps(values, indent=2, ensure_ascii=False) if values else "{}")
        return [FormField(WHOLE, "Input", "whole", True, "An object as JSON", text, [], {}, _fault_of(WHOLE, fault))]
    required = schema.get("required", ())
    return [
        _field(
            name,
            _plain(schema, part),
            is_required=name in required,
            value=values.get(name),
            texts=texts,
            fault=_fault_of(name, fault),
        )
        for name, part in properties.items()
    ]


def value_of_form(schema: dict[str, Any], form: Form) -> dict[str, Any]:
    """The value of a submitted form. Empty fields are left out. Raises `InvalidInput`, which names the field."""
    properties: dict[str, Any] = schema.get("properties") or {}
    if not properties:
        whole = _json(WHOLE, form.text(WHOLE) or "{}")
        if not isinstance(whole, dict):
            raise InvalidInput("The input is no object", field=WHOLE, expected="an object as JSON")
        return whole
    values = {name: _value(name, _plain(schema, part), form) for name, part in properties.items()}
    return {name: value for name, value in values.items() if value is not None}


def _field(
    name: str, part: dict[str, Any], *, is_required: bool, value: Any, texts: Form | None, fault: str
) -> FormField:
    kind = _kind(part)
    if texts is not None:
        text = texts.text(_PREFIX + name)
    else:
        text = _text(kind, part.get("default") if value is None else value)
    options = [_option(option) for option in part.get("enum", ())]
    limits = {
        "maxlength": part.get("maxLength"),
        "minlength": part.get("minLength"),
        "min": part.get("minimum"),
        "max": part.get("maximum"),
        "pattern": part.get("pattern") if kind == "text" else None,
    }
    hint = str(part.get("description", ""))
    label = str(part.get("title") or name.replace("_", " ").capitalize())
    known_limits = {attribute: limit for attribute, limit in limits.items() if limit is not None}
    return FormField(name, label, kind, is_required, hint, text, options, known_limits, fault)


def _kind(part: dict[str, Any]) -> str:
    if part.get("enum"):
        return "select"
    match part.get("type"):
        case "boolean":
            return "checkbox"
        case "integer":
            return "integer"
        case "number":
            return "number"
        case "string" if part.get("format") in _SINGLE_LINE:
            return _SINGLE_LINE[part["format"]]
        case "string":
            return "text" if part.get("maxLength", _LONG + 1) <= _LONG or "pattern" in part else "long"
        case "array" if _is_text(part.get("items")):
            return "lines"
        case _:
            return "json"


def _plain(root: dict[str, Any], part: Any) -> dict[str, Any]:
    """A part without references, and of an optional part the part itself."""
    if not isinstance(part, dict):
        return {}
    reference = str(part.get("$ref", ""))
    if reference.startswith("#/$defs/"):
        inner = root.get("$defs", {}).get(reference.removeprefix("#/$defs/"), {})
        inner = inner if isinstance(inner, dict) else {}  # a schema may also be true or false
        return {**inner, **{key: value for key, value in part.items() if key != "$ref"}}
    options = [option for option in part.get("anyOf", ()) if option != _NOTHING]
    if len(options) == 1 and isinstance(options[0], dict):
        rest = {key: value for key, value in part.items() if key != "anyOf"}
        return {**_plain(root, options[0]), **rest}
    return part


def _is_text(items: Any) -> bool:
    return isinstance(items, dict) and items.get("type") == "string" and not items.get("enum")


def _value(name: str, part: dict[str, Any], form: Form) -> Any:
    kind, text = _kind(part), form.text(_PREFIX + name)
    if kind == "checkbox":
        return text == "true"
    if not text:
        return None
    match kind:
        case "integer" | "number":
            return _number(name, text, whole=kind == "integer")
        case "lines":
            return [line.strip() for line in text.splitlines() if line.strip()]
        case "json":
            return _json(name, text)
        case "select":
            return next((option for option in part["enum"] if _option(option) == text), text)
        case _:
            return text.replace("\r\n", "\n")


def _number(name: str, text: str, *, whole: bool) -> float:
    try:
        return int(text) if whole else storable(float(text))
    except ValueError as error:
        expected = "a whole number" if whole else "a number"
        raise InvalidInput(
            f"{text[:40]!r} is not {expected}", field=name, provided=text[:40], expected=expected
        ) from error


def _json(name: str, text: str) -> Any:
    try:
        return storable(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"This is no JSON: {error}", field=name, expected="JSON") from error


def _option(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _text(kind: str, value: Any) -> str:
    if value is None:
        return ""
    if kind == "lines" and isinstance(value, list):
        return "\n".join(map(str, value))
    if kind == "checkbox":
        return "true" if value is True else ""
    if isinstance(value, str) and kind != "json":
        return value
    return json.dumps(value, indent=2 if kind == "json" else None, ensure_ascii=False)


def _fault_of(name: str, fault: InvalidInput | None) -> str:
    """The message of a fault, if it is about this field or a part of it."""
    field = str(fault.details.get("field") or "") if fault is not None else ""
    return fault.message if fault is not None and (field == name or field.startswith(f"{name}.")) else ""
