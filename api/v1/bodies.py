"""Request bodies and queries (D-023, D-037). Types are strict; unknown fields are refused by name."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Self

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
from orchestrator.domain.labels import JobLabel
from orchestrator.domain.schedules import MAX_DELAY

_MAX_FIELDS: Final = 100
_LONGEST_DELAY: Final = MAX_DELAY // timedelta(seconds=1)
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
    """Return a time in UTC. It must have an offset: none is assumed."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is not None and moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise PydanticCustomError("moment", "Input should be {expected}", {"expected": "an ISO 8601 time with its offset"})


def _integral(value: Any) -> Any:
    """Return 5 for 5.0, which is an integer in JSON Schema."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# After the limits of a number that may be null: before them, the schema would lose the limits.
WHOLE: Final = BeforeValidator(_integral)
WholeNumber = Annotated[int, WHOLE]
Text = Annotated[str, Field(max_length=1000), AfterValidator(storable)]
Moment = Annotated[datetime, BeforeValidator(_moment, json_schema_input_type=datetime)]
WebUrl = Annotated[
    str,
    Field(max_length=2000, json_schema_extra={"pattern": "^https?://"}),
    AfterValidator(_http_url),
]


class Body(BaseModel):
    """A request body."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _few_fields(cls, data: Any) -> Any:
        """Refuse too many fields at once: each unknown field would be a fault of its own."""
        if isinstance(data, dict) and len(data) > _MAX_FIELDS:
            raise PydanticCustomError("fields", "Input should be {expected}", {"expected": "an object of known fields"})
        return data


class ConfigBody(JobConfig):
    """Settings that a request may override. Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    model: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(storable)] | None = Field(
        default=None, description="`provider:model`."
    )
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000), WHOLE] | None = None

    def job_config(self) -> JobConfig:
        """Return the configuration of the job."""
        return JobConfig.model_validate(self.model_dump())


def _own_labels(labels: dict[str, str]) -> dict[str, str]:
    reserved = sorted(set(JobLabel) & set(labels))
    if reserved:
        raise PydanticCustomError("label", "Input should be {expected}", {"expected": f"no label {reserved[0]!r}"})
    return labels


LabelName = Annotated[str, Field(max_length=60, pattern=r"^[A-Za-z][A-Za-z0-9_.\-]*$")]
LabelValue = Annotated[str, Field(max_length=60, pattern=r"^[^\x00-\x1f\x7f]*$"), AfterValidator(storable)]
Labels = Annotated[dict[LabelName, LabelValue], Field(max_length=10), AfterValidator(_own_labels)]


class StartBody(Body):
    """Starts an agent or a workflow. `input` may have fields that its schema does not define (D-025)."""

    input: JsonObject = Field(
        description="Matches the `input_schema` of the agent or workflow. At most 4 MiB by default."
    )
    config: ConfigBody = ConfigBody()
    asynchronous: bool = Field(default=False, alias="async", description="With true the answer is 202 at once.")
    webhook_url: WebUrl | None = Field(
        default=None,
        description="Receives the end of an asynchronous job. Accepted and ignored in synchronous mode.",
    )
    labels: Labels = Field(
        default_factory=dict, description="Your own notes on the job, for example `team`. Lists filter by them."
    )
    start_at: Moment | None = Field(default=None, description="Start an asynchronous job at this time.")
    delay: Annotated[int, Field(ge=0, le=_LONGEST_DELAY), WHOLE] | None = Field(
        default=None, description="Start an asynchronous job after so many seconds."
    )

    @model_validator(mode="after")
    def _delays_one_way(self) -> Self:
        """Only an asynchronous job can start later, at one time."""
        if self.start_at is not None and self.delay is not None:
            raise PydanticCustomError("delay", "Input should be {expected}", {"expected": "one of start_at and delay"})
        if not self.asynchronous and (self.start_at is not None or self.delay is not None):
            expected = "asynchronous (async: true) with start_at or delay"
            raise PydanticCustomError("delay", "Input should be {expected}", {"expected": expected})
        return self


class CancelBody(Body):
    """The reason of a cancellation."""

    reason: Text = ""


class ControlBody(Body):
    """A note for a pause or a resume."""

    note: Text = ""


class DecisionBody(Body):
    """A decision on a step that waits for approval. `step` may be left out if only one step waits."""

    step: Text | None = None
    note: Text = ""


class RetryBody(Body):
    """A retry has no fields: it takes input, configuration and webhook URL from the failed job."""
