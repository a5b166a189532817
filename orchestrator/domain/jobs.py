"""The job: its state, the reason for the state, its calls and their attempts (A3)."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from orchestrator.domain import text
from orchestrator.domain.call_ids import CallId
from orchestrator.domain.ids import JobKind
from orchestrator.domain.questions import JobQuestion, QuestionKind
from orchestrator.domain.usage import Usage
from orchestrator.domain.values import Stored


class JobStatus(StrEnum):
    """The public words for where a job is: the native API, its webhooks and the command line use them."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def open(self) -> bool:
        """Whether the job can still change."""
        return self in (JobStatus.QUEUED, JobStatus.RUNNING)


class JobState(StrEnum):
    """The states of a job, each with its public status. A job never leaves a terminal state."""

    # The public status decides whether a state is open, succeeded or failed: no state can be added without it.
    PENDING = "PENDING", JobStatus.QUEUED
    RUNNING = "RUNNING", JobStatus.RUNNING
    PAUSED = "PAUSED", JobStatus.RUNNING
    COMPLETED = "COMPLETED", JobStatus.COMPLETED
    FAILED = "FAILED", JobStatus.FAILED
    CANCELLED = "CANCELLED", JobStatus.CANCELLED
    TIMEOUT = "TIMEOUT", JobStatus.FAILED

    status: JobStatus

    def __new__(cls, value: str, status: JobStatus) -> Self:
        """A member with its status."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.status = status
        return member

    @property
    def open(self) -> bool:
        """Whether the job can still change."""
        return self.status.open

    @property
    def terminal(self) -> bool:
        """Whether the job has ended."""
        return not self.open

    @property
    def succeeded(self) -> bool:
        """Whether the job has ended and has done its work."""
        return self.status is JobStatus.COMPLETED

    @property
    def failed(self) -> bool:
        """Whether the job has ended by a fault; a cancelled job has not failed."""
        return self.status is JobStatus.FAILED

    @property
    def retryable(self) -> bool:
        """Whether the job has ended without its work done: a retry can finish it."""
        return self.terminal and not self.succeeded


OPEN_STATES: Final = frozenset(state for state in JobState if state.open)
SUCCEEDED_STATES: Final = frozenset(state for state in JobState if state.succeeded)
FAILED_STATES: Final = frozenset(state for state in JobState if state.failed)
UNPAUSED_STATES: Final = OPEN_STATES - {JobState.PAUSED}
"""Open states in which the job makes progress unless a fault or a missing worker prevents it."""


class StartState(StrEnum):
    """The progress of a job's start: `accepted` has not reached Temporal yet, `doubtful` got no answer from it."""

    ACCEPTED = "accepted"
    STARTED = "started"
    DOUBTFUL = "doubtful"


class ReasonCode(StrEnum):
    """Why an open job is in its state."""

    QUEUED = "queued"
    SCHEDULED = "scheduled"
    NO_WORKER = "no_worker"
    RUNNING = "running"
    NO_SIGN_OF_LIFE = "no_sign_of_life"
    RETRYING = "retrying"
    UNKNOWN_AGENT = "unknown_agent"
    WAITING_FOR_APPROVAL = "waiting_for_approval"
    WAITING_FOR_INPUT = "waiting_for_input"
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
        ReasonCode.WAITING_FOR_INPUT,
        ReasonCode.BUDGET_EXCEEDED,
    }
)
"""Reasons that remain until a person acts."""


class CallStatus(StrEnum):
    """The status of one planned agent call."""

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
        """Whether the call can no longer change."""
        return self in (CallStatus.COMPLETED, CallStatus.FAILED, CallStatus.CANCELLED, CallStatus.SKIPPED)

    @property
    def active(self) -> bool:
        """Whether Temporal has the call and it has not ended."""
        return self in (CallStatus.SCHEDULED, CallStatus.RUNNING, CallStatus.RETRYING)

    @property
    def begun(self) -> bool:
        """Whether a worker has taken the call, or the call has ended."""
        return self.ended or self in (CallStatus.RUNNING, CallStatus.RETRYING)


class AttemptStatus(StrEnum):
    """The status of one attempt; `unknown` if it may have had its effect or not.

    `continued`: the model answered with tool calls, and the call goes on with them.
    """

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    CONTINUED = "continued"

    @property
    def ended(self) -> bool:
        """Whether the attempt is known to have ended, and how."""
        return self not in (AttemptStatus.RUNNING, AttemptStatus.UNKNOWN)

    @property
    def failed(self) -> bool:
        """Whether the attempt ended by a fault; a cancelled attempt has not failed."""
        return self in (AttemptStatus.FAILED, AttemptStatus.TIMED_OUT)


FAILED_ATTEMPTS: Final = frozenset(status for status in AttemptStatus if status.failed)


class Value(BaseModel):
    """An immutable part of a job."""

    model_config = ConfigDict(frozen=True)


class JobError(Value):
    """Why something failed: a stable machine word, a sentence for people, and the step if there is one.

    Both texts can come from an author's exception or from any client of Temporal, so they are shortened here.
    """

    type: Annotated[str, AfterValidator(text.name)]
    message: Annotated[str, AfterValidator(text.cut)]
    step: str | None = None
    agent: str | None = None
    retryable: bool = False


class Reason(Value):
    """Why an open job is in its state, as a code and a sentence.

    If it waits for a person: the id of the question, its JSON Schema, its deadline, and who alone may answer.
    """

    code: ReasonCode
    message: str
    step: str | None = None
    agent: str | None = None
    attempt: int | None = None
    next_attempt_at: datetime | None = None
    last_error: JobError | None = None
    question: str | None = None
    form: dict[str, Any] | None = None
    deadline: datetime | None = None
    people: tuple[str, ...] = ()


class Attempt(Value):
    """One attempt of one agent call."""

    number: int
    status: AttemptStatus
    started_at: datetime | None = None
    completed_at: datetime | None = None
    error: JobError | None = None
    usage: Usage | None = None


class Approved(Value):
    """The approval of a step: by whom, with a note."""

    step: str
    actor: str
    note: str = ""


class ToolStatus(StrEnum):
    """The status of one tool call. `refused` by a person, `skipped` because of its faults."""

    SCHEDULED = "scheduled"
    RUNNING = "running"
    RETRYING = "retrying"
    WAITING_FOR_INPUT = "waiting_for_input"
    COMPLETED = "completed"
    FAILED = "failed"
    REFUSED = "refused"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class ToolUseRecord(Value):
    """One tool call of an agent call. `arguments` and `result` are beginnings, for people; `bytes` is the whole size.

    `id` is the turn and the place in it, such as `t3.1`. `calls` is the key of the agent call that an agent as a tool
    made. `answered_by` is the person who approved, refused or answered.
    """

    id: str
    turn: int
    tool: str
    status: ToolStatus
    arguments: str = ""
    attempts: int = 0
    effect_id: str = ""
    started_at: datetime | None = None
    completed_at: datetime | None = None
    result: str | None = None
    bytes: int | None = None
    error: JobError | None = None
    calls: str | None = None
    answered_by: str | None = None


class AgentCall(Value):
    """One agent call of a job. `number` counts the calls of one step and agent from 1.

    A call that was `reused_from` an earlier job was not made again: its times and `reused` are those of that job.
    """

    step: str
    agent: str
    number: int = 1
    key: str = Field(default="", description="The item and the round of the call, such as `alpha` or `2/alpha`.")
    run_id: str = Field(default="", description="The workflow run that made the call; empty for a call not made yet.")
    title: str
    status: CallStatus
    attempts: list[Attempt] = Field(default_factory=list)
    scheduled_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    usage: Usage = Usage()
    model: str | None = None
    error: JobError | None = None
    why: str | None = Field(default=None, description="Why it was skipped, if its plan decided so.")
    reused_from: str | None = None
    reused: Usage = Usage()
    child: str | None = Field(default=None, description="The child job of the call; `agent` is its workflow.")
    turns: int = Field(default=0, description="Requests to the model so far, if the agent has tools; else 0.")
    max_turns: int | None = None
    tool_calls: list[ToolUseRecord] = Field(default_factory=list)

    @property
    def call_id(self) -> CallId:
        """The identity of the call."""
        return CallId(self.step, self.agent, self.number, self.key)

    @property
    def duration(self) -> float | None:
        """Seconds from the last attempt's start to its end, or None. With tools: from the start of the first turn."""
        turns = [each.started_at for each in self.attempts if each.status is AttemptStatus.CONTINUED]
        if self.started_at is None or self.completed_at is None:
            return None
        return max(0.0, (self.completed_at - min(filter(None, [self.started_at, *turns]))).total_seconds())


class Job(Value):
    """A job as its history records it. `result` is the `JobResult` as plain data, once there is one."""

    id: str
    run_id: str
    kind: JobKind
    definition: str
    name: str
    owner: str
    code: bool = False
    state: JobState
    reason: Reason | None = None
    paused: bool = Field(default=False, description="A pause was requested; it applies once the job runs.")
    progress: int = Field(ge=0, le=100, description="Percent; an estimate while the calls are not `exact`.")
    exact: bool = Field(default=True, description="Whether all calls are known, so that `progress` is their share.")
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
    decisions: dict[str, str] = Field(default_factory=dict, description="Ids of the effective decisions, by step.")
    began_at: datetime | None = Field(default=None, description="The time of its start, or of its last reset.")
    stored: list[Stored] = Field(
        default_factory=list, description="Large parts of `input` and `result` that are stored beside the job."
    )
    last_event: str | None = Field(default=None, description="Cursor of the newest event, `run_id:event_id`.")
    retry_of: str | None = Field(default=None, description="The job that this one retries.")
    expected_calls: int = Field(default=0, description="How many calls workflow code has announced; 0 if it has not.")
    controlled: bool = Field(default=False, description="Workflow code handles pause, resume, approve and reject.")
    approvals: list[Approved] = Field(default_factory=list, description="Effective approvals, reused ones included.")
    awaited_approvals: list[str] = Field(default_factory=list, description="Steps that wait for one.")
    questions: list[JobQuestion] = Field(default_factory=list, description="Questions to people, oldest first.")

    @property
    def reused(self) -> Usage:
        """The usage of calls whose answers were reused from earlier jobs. It is not part of `usage`."""
        return Usage.total(call.reused for call in self.calls)

    @property
    def duration(self) -> float | None:
        """Seconds from the first task to the end, or None while the job is open."""
        if self.started_at is None or self.closed_at is None:
            return None
        return max(0.0, (self.closed_at - self.started_at).total_seconds())

    @property
    def waiting_steps(self) -> list[str]:
        """Steps and questions that wait for an approval now."""
        waiting = [call.step for call in self.calls if call.status is CallStatus.WAITING_FOR_APPROVAL]
        waiting += self.awaited_approvals
        waiting += [question.id for question in self.open_questions if question.kind is not QuestionKind.FORM]
        return list(dict.fromkeys(waiting))

    @property
    def open_questions(self) -> list[JobQuestion]:
        """Questions that wait for an answer now, oldest first."""
        return [question for question in self.questions if question.open]

    @property
    def calls_done(self) -> int:
        """Calls that have ended, skipped ones included."""
        return sum(call.status.ended for call in self.calls)

    @property
    def calls_running(self) -> int:
        """Calls that Temporal has and that have not ended."""
        return sum(call.status.active for call in self.calls)

    def steps(self) -> dict[str, list[AgentCall]]:
        """The calls grouped by step, in the plan's order."""
        grouped: dict[str, list[AgentCall]] = {}
        for call in self.calls:
            grouped.setdefault(call.step, []).append(call)
        return grouped
