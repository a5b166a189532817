"""Field types of a webhook, the same on every surface: secret and event names."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from api.storable import FIRST_FAULT, storable

MAX_EVENTS: Final = 20

Secret = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(storable)]
Event = Annotated[str, Field(max_length=100), AfterValidator(storable)]
Events = Annotated[list[Event], FIRST_FAULT, Field(min_length=1, max_length=MAX_EVENTS)]
