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
from orchestrator.domain.webhooks import WebhookEvent


class StreamFrame(RootModel[JobDetail | EventBody | DeltaBody | ErrorEnvelope]):
    """`data` of one frame of an event stream: of `snapshot` the job, of `stream_error` the error, else an event or a
    piece of text."""


STREAM_ITEM: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"type": "string", "enum": ["snapshot", *EventType, "stream_error"]},
        "id": {"type": "string", "description": "The cursor, of an event only. The other frames do not move it."},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": f"#/components/schemas/{StreamFrame.__name__}"},
        },
    },
}
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


class JobMessage(BaseModel):
    """What a webhook receives at the end of a job. `timestamp` is the end of the job."""

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
    signature: str = Field(description="As `X-Devora-Signature`, over the JSON without this key.")


class NoticeMessage(BaseModel):
    """What a webhook receives of an event that is not the end of a job."""

    event: Literal[WebhookEvent.SESSION_ENDED, WebhookEvent.WEBHOOK_DISABLED, WebhookEvent.WEBHOOK_TEST]
    job_id: None
    timestamp: Timestamp
    data: dict[str, Any]
    signature: str = Field(description="As `X-Devora-Signature`, over the JSON without this key.")


class WebhookMessage(RootModel[Annotated[JobMessage | NoticeMessage, Field(discriminator="event")]]):
    """The body of a delivery."""


MESSAGES: Final[tuple[type[BaseModel], ...]] = (
    StreamFrame,
    SocketClientFrame,
    SocketServerFrame,
    WebhookMessage,
    Output,
)
