"""What every surface checks of free JSON before it is started with."""

from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError, PydanticSerializationError, from_json, to_json


def storable(value: Any) -> Any:
    """What survives the way to Temporal and back: text that UTF-8 can carry, finite numbers, no deeper than its parser
    goes.

    A validator of pydantic's. It stops at the first fault.
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


# Free JSON as a body carries it. Its values are not looked at one by one: a million wrong ones were a million faults.
JsonObject = Annotated[dict[str, Any], AfterValidator(storable)]
FIRST_FAULT: Final[Any] = Field(fail_fast=True)
"""Of a list, to stop at its first wrong item."""
