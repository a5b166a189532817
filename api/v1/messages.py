"""Schemas that no route returns, for the document: frames of streams and sockets, and what webhooks receive."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field, RootModel

from api.v1 import ws_frames
from api.v1.envelope import ErrorEnvelope
from api.v1.models import DeltaBody, EventBody, JobDetail, Metrics
from api.v1.output import Output
from api.v1.wire import Timestamp
from orchestrator.domain.events import EventType
from orchestrator.domain.jobs import JobError, JobStatus
from orchestrator.domain.webhooks import SUBSCRIBABLE, WebhookEvent


class StreamFrame(RootModel[JobDetail | EventBody | DeltaBody | ErrorEnvelope]):
    """`data` of one frame of an event stream: of `snapshot` the job, of `stream_error` the error, else an event or a
    piece of text."""


def _frames_of(data: type[BaseModel], events: list[str], cursor: str) -> dict[str, Any]:
    """Return the schema of one frame of a stream."""
    content = {"$ref": f"#/components/schemas/{data.__name__}"}
    return {
        "type": "object",
        "required": ["event", "data"],
        "properties": {
            "event": {"type": "string", "enum": events},
            "id": {"type": "string", "description": cursor},
            "data": {"type": "string", "contentMediaType": "application/json", "contentSchema": content},
        },
    }


STREAM_ITEM: Final = _frames_of(
    StreamFrame,
    ["snapshot", *EventType, "stream_error"],
    "The cursor, of an event only. The other frames do not move it.",
)
"""One frame of an event stream."""

ClientFrames = ws_frames.Auth | ws_frames.Subscribe | ws_frames.Unsubscribe | ws_frames.Ping


class SocketClientFrame(RootModel[Annotated[ClientFrames, Field(discriminator="type")]]):
    """A frame that a client sends to `/v1/ws`."""


class SocketServerFrame(
    RootModel[
        ws_frames.AuthOk
        | ws_frames.Subscribed
        | ws_frames.Unsubscribed
        | ws_frames.Pong
        | ws_frames.JobUpdate
        | ws_frames.EventFrame
        | DeltaBody
        | ws_frames.ErrorFrame
    ]
):
    """A frame that `/v1/ws` sends."""


class JobEnd(BaseModel):
    """The end of a job. `session_id` is only in jobs of sessions."""

    status: JobStatus
    output: Output | None
    metrics: Metrics
    error: JobError | None
    session_id: str | None = None


class AccountJobEvent(BaseModel):
    """The end of a job of the account. `timestamp` is the end of the job."""

    event: Literal[
        WebhookEvent.JOB_COMPLETED,
        WebhookEvent.JOB_FAILED,
        WebhookEvent.EXECUTION_COMPLETED,
        WebhookEvent.EXECUTION_FAILED,
        WebhookEvent.EXECUTION_CANCELLED,
        WebhookEvent.CHAT_COMPLETED,
    ]
    job_id: str
    timestamp: Timestamp
    data: JobEnd


class JobMessage(AccountJobEvent):
    """What a webhook receives at the end of a job. `timestamp` is the end of the job."""

    signature: str = Field(description="As `X-Devora-Signature`, over the JSON without this key.")


class AccountNotice(BaseModel):
    """An event of the account that is not the end of a job."""

    event: Literal[WebhookEvent.SESSION_ENDED, WebhookEvent.WEBHOOK_DISABLED]
    job_id: None
    timestamp: Timestamp
    data: dict[str, Any]


class NoticeMessage(BaseModel):
    """What a webhook receives of an event that is not the end of a job."""

    event: Literal[WebhookEvent.SESSION_ENDED, WebhookEvent.WEBHOOK_DISABLED, WebhookEvent.WEBHOOK_TEST]
    job_id: None
    timestamp: Timestamp
    data: dict[str, Any]
    signature: str = Field(description="As `X-Devora-Signature`, over the JSON without this key.")


class StreamStarted(BaseModel):
    """The cursor at which a stream of the account starts."""

    after: str


class AccountFrame(RootModel[StreamStarted | AccountJobEvent | AccountNotice | ErrorEnvelope]):
    """`data` of one frame of the account's stream: of `stream_started` the cursor, of `stream_error` the error, else
    the event."""


ACCOUNT_STREAM_ITEM: Final = _frames_of(
    AccountFrame, ["stream_started", *SUBSCRIBABLE, "stream_error"], "The cursor. An error has none."
)
"""One frame of the account's stream."""


class WebhookMessage(RootModel[Annotated[JobMessage | NoticeMessage, Field(discriminator="event")]]):
    """The body of a delivery."""


MESSAGES: Final[tuple[type[BaseModel], ...]] = (
    StreamFrame,
    AccountFrame,
    SocketClientFrame,
    SocketServerFrame,
    WebhookMessage,
    Output,
)
