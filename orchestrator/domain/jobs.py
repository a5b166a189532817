"""The job, natively (architecture, section 4)."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from orchestrator.domain import text
from orchestrator.domain.ids import JobKind
from orchestrator.domain.usage import Usage
from orchestrator.domain.values import Stored


class JobState(StrEnum):
    """The seven states. Terminal is final."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMEOUT = "TIMEOUT"

    @property
    def terminal(self) -> bool:
        """Whether nothing can follow."""
        return self not in OPEN_STATES


OPEN_STATES = frozenset({JobState.PENDING, JobState.RUNNING, JobState.PAUSED})
RETRIED_STATES = frozenset({JobState.FAILED, JobState.CANCELLED, JobState.TIMEOUT})
"""States in which a job has ended without being done: a retry can finish it."""


class ReasonCode(StrEnum):
    """Why an open job is where it is."""

    QUEUED = "queued"
    NO_WORKER = "no_worker"
    RUNNING = "running"
    NO_SIGN_OF_LIFE = "no_sign_of_life"
    RETRYING = "retrying"
    UNKNOWN_AGENT = "unknown_agent"
    WAITING_FOR_APPROVAL = "waiting_for_approval"
    PAUSED = "paused"
    BUDGET_EXCEEDED = "budget_exceeded"
    STUCK = "stuck"
    CANCELLING = "cancelling"


NEEDS_ATTENTION = frozenset(
    {
        ReasonCode.STUCK,
        ReasonCode.NO_WORKER,
        ReasonCode.UNKNOWN_AGENT,
        ReasonCode.WAITING_FOR_APPROVAL,
        ReasonCode.BUDGET_EXCEEDED,
    }
)
"""Reasons that do not go away unless a person does something."""


class CallStatus(StrEnum):
    """Where one planned agent call is."""

    PENDING = "pending"
    WAITING_FOR_APPROVAL = "waiting_for_approval"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    RETRYING = "retrying"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"

    @property
    def ended(self) -> bool:
        """Whether the call will not change any more."""
        return self in (CallStatus.COMPLETED, CallStatus.FAILED, CallStatus.CANCELLED, CallStatus.SKIPPED)


class AttemptStatus(StrEnum):
    """What is known of one attempt; `unknown` when it may or may not have had its effect."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


class Value(BaseModel):
    """An immutable part of a job."""

    model_config = ConfigDict(frozen=True)


class JobError(Value):
    """Why something failed: a stable machine word, a sentence for people, and the step if there is one.

    Both may come from an author's exception or from anybody with access to Temporal, so they are cut here.
    """

    type: Annotated[str, AfterValidator(text.name)]
    message: Annotated[str, AfterValidator(text.cut)]
    step: str | None = None
    agent: str | None = None
    retryable: bool = False


class Reason(Value):
    """Why an open job is where it is, in a word and in a sentence."""

    code: ReasonCode
    message: str
    step: str | None = None
    agent: str | None = None
    attempt: int | None = None
    next_attempt_at: datetime | None = None
    last_error: JobError | None = None


class Attempt(Value):
    """One attempt of one agent call."""

    number: int
    status: AttemptStatus
    started_at: datetime | None = None
    completed_at: datetime | None = None
    error: JobError | None = None
    usage: Usage | None = None


class Approved(Value):
    """Who let a step run, and why."""

    step: str
    actor: str
    note: str = ""


class AgentCall(Value):
    """One agent call of a job and what became of it. `duration` is seconds.

    A step and agent called again is another call: `number` counts them from 1. A call that was `reused_from` an earlier
    job was not made again: its times and `reused` usage are those of then, and its own usage is nothing.
    """

    step: str
    agent: str
    number: int = 1
    run_id: str = Field(default="", description="The workflow run that made it; empty for a call not made yet.")
    title: str
    status: CallStatus
    attempts: list[Attempt] = Field(default_factory=list)
    scheduled_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    usage: Usage = Usage()
    model: str | None = None
    error: JobError | None = None
    reused_from: str | None = None
    reused: Usage = Usage()

    @property
    def duration(self) -> float | None:
        """Seconds from the last attempt's start to its end, or None."""
        if self.started_at is None or self.completed_at is None:
            return None
        return max(0.0, (self.completed_at - self.started_at).total_seconds())


class Job(Value):
    """A job as its history tells it. `result` is the raw `JobResult` as plain data, once there is one."""

    id: str
    run_id: str
    kind: JobKind
    definition: str
    name: str
    owner: str
    code: bool = False
    state: JobState
    reason: Reason | None = None
    paused: bool = Field(default=False, description="A pause was asked for; in force as soon as the job runs.")
    progress: int = Field(ge=0, le=100)
    input: dict[str, Any]
    config: dict[str, Any]
    webhook_url: str | None = None
    subject: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    calls: list[AgentCall] = Field(default_factory=list)
    usage: Usage = Usage()
    result: dict[str, Any] | None = None
    error: JobError | None = None
    created_at: datetime
    started_at: datetime | None = None
    closed_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    cancel_reason: str | None = None
    decisions: dict[str, str] = Field(default_factory=dict, description="Ids of the decisions in force, by step.")
    began_at: datetime | None = Field(
        default=None, description="When the course of events that counts began: its start, or its last reset."
    )
    stored: list[Stored] = Field(
        default_factory=list, description="Large parts of `input` and `result` that are stored beside the job."
    )
    last_event: str | None = Field(default=None, description="Cursor of the newest event, `run_id:event_id`.")
    retry_of: str | None = Field(default=None, description="The job that this one is to finish.")
    approvals: list[Approved] = Field(default_factory=list, description="Approvals in force, carried over ones too.")

    @property
    def reused(self) -> Usage:
        """What the calls cost whose answers were taken over from earlier jobs: it is not part of `usage`."""
        return Usage.total(call.reused for call in self.calls)

    @property
    def duration(self) -> float | None:
        """Seconds from the first task to the end, or None while it is open."""
        if self.started_at is None or self.closed_at is None:
            return None
        return max(0.0, (self.closed_at - self.started_at).total_seconds())

    @property
    def waiting_steps(self) -> list[str]:
        """Steps that wait for an approval now."""
        waiting = (call.step for call in self.calls if call.status is CallStatus.WAITING_FOR_APPROVAL)
        return list(dict.fromkeys(waiting))

    def steps(self) -> dict[str, list[AgentCall]]:
        """The calls grouped by step, in the plan's order."""
        grouped: dict[str, list[AgentCall]] = {}
        for call in self.calls:
            grouped.setdefault(call.step, []).append(call)
        return grouped
