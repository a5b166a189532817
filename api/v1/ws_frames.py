"""The frames of `/v1/ws`, of the client and of the server (D-058 to D-064)."""

from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from api.v1.envelope import ErrorBody
from api.v1.models import EventBody
from api.v1.output import OutputObject
from api.v1.wire import Timestamp, Wire, absent
from api.validation import echo, invalid_request
from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.events import EventType
from orchestrator.domain.jobs import JobState, JobStatus

_TYPES: Final = "one of auth, subscribe, unsubscribe, ping"


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Auth(_Sent):
    """The first frame of a client that sent no `Authorization` header (D-058)."""

    type: Literal["auth"]
    token: str


class Subscribe(_Sent):
    """Subscribe to a job (D-059): from its first event, after a cursor, or from `now`; `deltas`: with agents' text."""

    type: Literal["subscribe"]
    channel: Literal["job"]
    job_id: str
    after: str | None = None
    deltas: bool = True


class Unsubscribe(_Sent):
    """End a subscription."""

    type: Literal["unsubscribe"]
    channel: Literal["job"]
    job_id: str


class Ping(_Sent):
    """Ask for a `pong`."""

    type: Literal["ping"]


ClientFrame = Auth | Subscribe | Unsubscribe | Ping
_CLIENT_FRAME: Final[TypeAdapter[ClientFrame]] = TypeAdapter(Annotated[ClientFrame, Field(discriminator="type")])


class AuthOk(Wire):
    """The client is authenticated."""

    type: Literal["auth_ok"] = "auth_ok"
    principal: str
    scopes: list[str]


class Subscribed(Wire):
    """The job's events follow."""

    type: Literal["subscribed"] = "subscribed"
    channel: Literal["job"] = "job"
    job_id: str


class Unsubscribed(Wire):
    """The subscription ended: the job has `ended`, the client `requested` it, or an `error` frame came before."""

    type: Literal["unsubscribed"] = "unsubscribed"
    channel: Literal["job"] = "job"
    job_id: str
    reason: Literal["ended", "requested", "error"]


class Pong(Wire):
    """The answer to a ping."""

    type: Literal["pong"] = "pong"
    timestamp: Timestamp = Field(default_factory=lambda: datetime.now(UTC))


class JobUpdate(Wire):
    """The state of a job, after each change (D-060, C-48). The event itself follows."""

    type: Literal["job_update"] = "job_update"
    job_id: str
    status: JobStatus
    state: JobState
    progress: int | None
    current_step: str | None
    message: str
    timestamp: Timestamp

    @classmethod
    def of(cls, event: EventBody) -> "JobUpdate":
        """Return the state of the job after an event."""
        return cls(**event.model_dump(include=set(cls.model_fields) - {"type"}))


class EventFrame(EventBody):
    """One event. The event of completion has the whole output in `output`, not in `data` (D-061)."""

    output: OutputObject | None = Field(default=None, exclude_if=absent)

    @classmethod
    def of(cls, event: EventBody) -> "EventFrame":
        """Return the event as a frame."""
        if event.type != EventType.JOB_COMPLETED:
            return cls(**dict(event))
        data = {name: value for name, value in event.data.items() if name != "output"}  # Once in a frame.
        return cls(**{**dict(event), "data": data}, output=event.data.get("output"))


class ErrorFrame(Wire):
    """An error with the body of HTTP (D-096). `job_id` names the subscription that it concerns."""

    type: Literal["error"] = "error"
    job_id: str | None = Field(default=None, exclude_if=absent)
    error: ErrorBody


def changed(event: EventBody, before: EventBody | None) -> bool:
    """Return whether an event changes the state of its job since the event `before` (None: it is the first).

    The update is sent before the event, so that a client that reconnects after the event has missed nothing.
    """
    return (
        before is None
        or event.type == EventType.JOB_PROGRESS
        or (event.state, event.progress) != (before.state, before.progress)
    )


def parsed(raw: str | bytes, largest: int) -> ClientFrame:
    """Parse a client's frame of at most `largest` bytes. Raises `InvalidInput`."""
    if isinstance(raw, bytes):
        raise InvalidInput("Binary frames are not supported", field="frame", expected="JSON object in a text frame")
    if len(raw.encode()) > largest:
        expected = f"at most {largest} bytes"
        raise InvalidInput("The frame is too large", field="frame", provided=echo(raw), expected=expected)
    try:
        return _CLIENT_FRAME.validate_json(raw)
    except ValidationError as fault:
        raise _invalid(fault) from fault


def _invalid(fault: ValidationError) -> InvalidInput:
    error = fault.errors(include_url=False)[0]
    match error["type"]:
        case "union_tag_not_found":
            return InvalidInput("Missing required field: type", field="type", expected=_TYPES)
        case "union_tag_invalid":
            tag = echo(error["ctx"]["tag"])
            return InvalidInput(f"Unknown type of frame: {tag}", field="type", provided=tag, expected=_TYPES)
        case _ if not error["loc"]:
            return InvalidInput("The frame is not a JSON object", field="frame", expected="JSON object")
    return invalid_request(RequestValidationError([error]))
