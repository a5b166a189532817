"""What callers send (D-023, D-037): checked strictly, unknown keys refused by name."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import Header
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    HttpUrl,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from api.storable import JsonObject, storable
from orchestrator.domain.commands import JobConfig

_MOST_FIELDS: Final = 100
_URL: Final = TypeAdapter(HttpUrl)


def _http_url(value: str) -> str:
    try:
        _URL.validate_python(value if value.isascii() else "")  # a URI is ASCII; pydantic would take an IRI
    except ValidationError:
        raise PydanticCustomError(
            "url", "Input should be {expected}", {"expected": "an http or https URL in ASCII"}
        ) from None
    return value


def _moment(value: Any) -> Any:
    """A time that names its offset, in UTC; nothing is guessed."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is not None and moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise PydanticCustomError("moment", "Input should be {expected}", {"expected": "an ISO 8601 time with its offset"})


Text = Annotated[str, Field(max_length=1000), AfterValidator(storable)]
Moment = Annotated[datetime, BeforeValidator(_moment, json_schema_input_type=datetime)]
WebUrl = Annotated[
    str,
    Field(max_length=2000, json_schema_extra={"pattern": "^https?://"}),
    AfterValidator(_http_url),
]


class Body(BaseModel):
    """Anything a caller sends."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _few_fields(cls, data: Any) -> Any:
        """Each unknown field is a fault of its own: no caller needs a hundred thousand of them."""
        if isinstance(data, dict) and len(data) > _MOST_FIELDS:
            raise PydanticCustomError("fields", "Input should be {expected}", {"expected": "an object of known fields"})
        return data


class PageQuery(BaseModel):
    """Which page of a list."""

    limit: int = Field(default=20, ge=1, le=100)
    offset: int = Field(default=0, ge=0, le=1_000_000_000)


class LongPageQuery(PageQuery):
    """Which page of a list of short rows."""

    limit: int = Field(default=50, ge=1, le=200)


class ConfigBody(JobConfig):
    """What a request may override. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    model: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(storable)] | None = Field(
        default=None, description="`provider:model`."
    )

    def job_config(self) -> JobConfig:
        """The same, for the job."""
        return JobConfig.model_validate(self.model_dump())


class StartBody(Body):
    """Starts an agent or a workflow. Keys of `input` that its schema does not know are let through (D-025)."""

    input: JsonObject = Field(
        description="As the `input_schema` of the agent or workflow says; at most 4 MiB, unless configured."
    )
    config: ConfigBody = ConfigBody()
    asynchronous: bool = Field(default=False, alias="async", description="True answers 202 at once.")
    webhook_url: WebUrl | None = Field(
        default=None,
        description="Told how an asynchronous job ended (D-103). Accepted and left alone in synchronous mode (D-024).",
    )


class CancelBody(Body):
    """Why a job is cancelled."""

    reason: Text = ""


class ControlBody(Body):
    """Why a job is paused or goes on."""

    note: Text = ""


class DecisionBody(Body):
    """Which waiting step is decided on. `step` may be left out where only one waits."""

    step: Text | None = None
    note: Text = ""


class RetryBody(Body):
    """A retry is told nothing: input, configuration and webhook URL are those of the job that failed."""


IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="1 to 255 printable characters. The same key with the same request starts nothing new and answers "
        "the same, with `Idempotency-Replayed: true`; with another request it is refused (422).",
    ),
]
