"""The error for a field that a body does not have names the fields that it has."""

from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from api.validation import InvalidRequest, invalid_request


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: str = ""
    retries: int = 0


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    input: dict[str, Any]
    config: Config | None = None
    is_async: bool = Field(default=False, alias="async")


def fault(body: dict[str, Any]) -> InvalidRequest:
    adapter = TypeAdapter(Body | None)
    with pytest.raises(ValidationError) as caught:
        adapter.validate_python(body)
    errors = [{**error, "loc": ("body", *error["loc"])} for error in caught.value.errors()]
    return invalid_request(RequestValidationError(errors), adapter.json_schema())


@pytest.mark.parametrize(
    ("body", "field", "expected"),
    [
        ({"input": {}, "inputs": {}}, "inputs", "one of input, config, async"),
        ({"input": {}, "config": {"modle": "x"}}, "config.modle", "one of model, retries"),
    ],
)
def test_an_unknown_field_is_answered_with_the_fields_of_its_object(
    body: dict[str, Any], field: str, expected: str
) -> None:
    error = fault(body)
    assert error.message == f"Unknown field: {field}"
    assert (error.details["field"], error.details["expected"]) == (field, expected)
