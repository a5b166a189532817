"""Validation of free JSON, the same on every surface, before it enters a job."""

from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError, PydanticSerializationError, from_json, to_json


def storable(value: Any) -> Any:
    """Return the value if Temporal can store it: valid Unicode, finite numbers, within the parser's depth.

    A pydantic validator. It stops at the first fault.
    """
    try:
        from_json(to_json([[[[[[[[value]]]]]]]]), allow_inf_nan=False)
    except (PydanticSerializationError, ValueError):
        raise PydanticCustomError(
            "unstorable",
            "Input should be {expected}",
            {"expected": "JSON of valid Unicode and finite numbers, nested less than 190 levels deep"},
        ) from None
    return value


# Free JSON in a body. Its values are validated together: one by one, a million wrong values would be a million faults.
JsonObject = Annotated[dict[str, Any], AfterValidator(storable)]
FIRST_FAULT: Final[Any] = Field(fail_fast=True)
"""Stops the validation of a list at its first wrong item."""
