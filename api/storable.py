"""What every surface checks of free JSON before it is started with."""

from typing import Any

from pydantic_core import PydanticCustomError, PydanticSerializationError, from_json, to_json


def storable(value: Any) -> Any:
    """What survives the way to Temporal and back: text that UTF-8 can carry, no deeper than its parser goes.

    A validator of pydantic's.
    """
    try:
        from_json(to_json([[[[[[[[value]]]]]]]]))
    except (PydanticSerializationError, ValueError):
        raise PydanticCustomError(
            "unstorable",
            "Input should be {expected}",
            {"expected": "JSON of valid Unicode, nested less than 190 levels deep"},
        ) from None
    return value
