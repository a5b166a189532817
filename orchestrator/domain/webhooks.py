"""Webhooks: subscriptions, their events, and deliveries with their attempts (D-098 to D-103, A10)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from pydantic import Field

from orchestrator.domain.commands import Message
from orchestrator.domain.conversations import is_conversation
from orchestrator.domain.ids import digest
from orchestrator.domain.jobs import JobState, JobStatus
from orchestrator.domain.user_agents import is_user_agent


class WebhookEvent(StrEnum):
    """The events of webhooks. A cancelled or timed-out job sends `job.failed` (C-49)."""

    JOB_COMPLETED = "job.completed"
    JOB_FAILED = "job.failed"
    EXECUTION_COMPLETED = "execution.completed"
    EXECUTION_FAILED = "execution.failed"
    EXECUTION_CANCELLED = "execution.cancelled"
    CHAT_COMPLETED = "chat.completed"
    SESSION_ENDED = "session.ended"
    WEBHOOK_DISABLED = "webhook.disabled"
    WEBHOOK_TEST = "webhook.test"


SUBSCRIBABLE: Final = (
    WebhookEvent.JOB_COMPLETED,
    WebhookEvent.JOB_FAILED,
    WebhookEvent.EXECUTION_COMPLETED,
    WebhookEvent.EXECUTION_FAILED,
    WebhookEvent.EXECUTION_CANCELLED,
    WebhookEvent.CHAT_COMPLETED,
    WebhookEvent.SESSION_ENDED,
    WebhookEvent.WEBHOOK_DISABLED,
)


_EXECUTION_EVENTS: Final = {
    JobStatus.COMPLETED: WebhookEvent.EXECUTION_COMPLETED,
    JobStatus.FAILED: WebhookEvent.EXECUTION_FAILED,
    JobStatus.CANCELLED: WebhookEvent.EXECUTION_CANCELLED,
}


def event_of(state: JobState) -> WebhookEvent:
    """The webhook event for the end of a job."""
    return WebhookEvent.JOB_COMPLETED if state.succeeded else WebhookEvent.JOB_FAILED


def events_of(state: JobState, subject: str | None) -> list[WebhookEvent]:
    """All webhook events for the end of a job: the native one, then that of the chat turn or of the execution of a
    user's agent (C-52)."""
    native = event_of(state)
    if subject is not None and is_user_agent(subject):
        return [native, _EXECUTION_EVENTS[state.status]]
    if state.succeeded and subject is not None and is_conversation(subject):
        return [native, WebhookEvent.CHAT_COMPLETED]
    return [native]


def corrected(event: str, state: JobState, subject: str | None) -> WebhookEvent:
    """The event for the end that the closed history shows: of the same kind as `event`, else the native one."""
    events = events_of(state, subject)
    kind = event.partition(".")[0]
    return next((candidate for candidate in events if candidate.partition(".")[0] == kind), events[0])


def delivery_id(cause: str, webhook_id: str | None) -> str:
    """The id of the delivery of one cause to one webhook (None: the job's callback): always the same.

    It is also the id of the delivery's workflow.
    """
    return "whd_" + digest(cause, webhook_id or "")[:32]


class DeliveryState(StrEnum):
    """The state of one delivery. `dropped`: its webhook was deleted or disabled before the delivery succeeded."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    DROPPED = "dropped"


class DeliveryVerdict(StrEnum):
    """The result of one attempt: delivered, retry, or the receiver is gone."""

    DELIVERED = "delivered"
    RETRY = "retry"
    GONE = "gone"


class Posting(Message):
    """One HTTP POST to a subscriber, signed with all `secrets`, the newest first."""

    url: str
    message_id: str
    at: datetime
    body: dict[str, Any] = Field(description="Without the key `signature`, which the sender adds (C-53).")
    secrets: list[str]
    owner: str = Field(default="", description="The owner whose limit the DNS look-up of the receiver counts against.")


class Posted(Message):
    """The result of one POST. `retry_after` is the receiver's requested wait, `duration` the time, both in seconds."""

    verdict: DeliveryVerdict
    status: int | None = None
    error: str | None = None
    retry_after: float | None = None
    duration: float = 0.0


class DeliveryInput(Message):
    """Input of the workflow `webhook_delivery`. `schedule` holds the seconds before each attempt, without jitter."""

    delivery_id: str
    schedule: list[float]


class DeliveryAttempt(Message):
    """Input of the activity that makes one attempt; `last` if none follows.

    The next attempt is due `next_delay` seconds after this one.
    """

    delivery_id: str
    number: int
    last: bool = False
    next_delay: float | None = None


class DeliveryReport(Message):
    """Output of that activity. Further attempts follow only while `state` is pending."""

    state: DeliveryState
    retry_after: float | None = None


class DeliveryResult(Message):
    """Output of the workflow `webhook_delivery`."""

    state: DeliveryState
    attempts: int


def sealed_for(webhook_id: str) -> str:
    """The context in which the secrets of a webhook are sealed: its row."""
    return f"webhooks/{webhook_id}"


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook. Both secrets are sealed; the previous one also signs, until `previous_until`.

    `key_id` is the API key that created it: the webhook stops with that key. A user's or the admin's has none.
    """

    id: str
    owner: str
    url: str
    events: list[str]
    secret: str
    created_at: datetime
    updated_at: datetime
    previous_secret: str | None = None
    previous_until: datetime | None = None
    disabled_at: datetime | None = None
    disabled_reason: str | None = None
    key_id: str | None = None

    @property
    def sealed_for(self) -> str:
        """The context in which its secrets are sealed."""
        return sealed_for(self.id)


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A delivery whose workflow has to be started."""

    id: str
    owner: str
    event: str
    url: str


@dataclass(frozen=True, slots=True)
class Delivery(DueDelivery):
    """One delivery. `webhook_id` is None for a job's callback. `data` is the body; for a job, the additional fields of
    its body."""

    webhook_id: str | None
    job_id: str | None
    message_id: str
    data: dict[str, Any] | None
    state: DeliveryState
    attempts: int
    created_at: datetime
    next_attempt_at: datetime | None = None
    completed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AccountEvent:
    """One event of an account. Numbers count from 1 and may have gaps. `data` as in a delivery."""

    owner: str
    number: int
    event: str
    job_id: str | None
    data: dict[str, Any] | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class MadeAttempt:
    """One attempt; `status` is the receiver's HTTP status, `duration` is seconds."""

    number: int
    at: datetime
    verdict: str
    status: int | None
    error: str | None
    duration: float
