"""Applies a pydantic model to a value from outside, and names the first fault."""

import json
import re
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.schemas import expected_of, field_at, shown

_MAX_LENGTH: Final = 300
_PYDANTIC_PREFIX: Final = re.compile(r"^(Value error|Assertion failed), ")
_EXPECTED: Final = "Input should be "


def validated(
    model: type[BaseModel], data: dict[str, Any], *, as_json: bool = False, whole: str = "input"
) -> dict[str, Any]:
    """Validate an input: convert values, add defaults, and name keys as in the JSON Schema of the model.

    Unknown keys stay. `whole` is the name of the data itself in faults. With `as_json` the result contains only JSON
    values, and no defaults that are null. Raises `InvalidInput` for the first fault, also if a validator raises any
    other error.
    """
    try:
        value = model.model_validate_json(json.dumps(data, ensure_ascii=False).encode(errors="replace"))
        mode = "json" if as_json else "python"
        fields = value.model_dump(mode=mode, by_alias=True, exclude_none=as_json, warnings=False)
    except ValidationError as error:
        raise _invalid(model, error, whole) from None
    except BaseException as error:  # The edge of author code. `Interrupted` from the timeout arrives here too.
        fault = _cut(f"{type(error).__name__}: {error}")
        message = f"The input model {model.__name__} failed on this input: {fault}"
        raise InvalidInput(message, field=whole, expected=f"an input that {model.__name__} can read") from error
    return {**data, **fields} if isinstance(fields, dict) else data


def _invalid(model: type[BaseModel], error: ValidationError, whole: str) -> InvalidInput:
    first = error.errors(include_url=False, include_context=False)[0]
    schema = model.model_json_schema()
    place, property_schema = field_at(schema, first["loc"])
    field = ".".join(map(str, place)) or whole
    value, problem = first["input"], _cut(_PYDANTIC_PREFIX.sub("", first["msg"]))
    text = shown(value)
    provided = text if text.endswith("…") else value
    if first["type"] == "missing":
        return InvalidInput(
            f"Missing required field: {field}", field=field, expected=expected_of(schema, property_schema)
        )
    if problem.startswith(_EXPECTED):
        expected = problem.removeprefix(_EXPECTED)
        message = f"Invalid value for field {field}: got {text}, expected {expected}"
        return InvalidInput(message, field=field, provided=provided, expected=expected)
    message = f"Invalid value for field {field}: got {text}. {problem}"
    return InvalidInput(message, field=field, provided=provided, expected=problem)


def _cut(text: str) -> str:
    return text.encode(errors="replace").decode()[:_MAX_LENGTH]
