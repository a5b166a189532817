"""A job's history without protobuf: one value for each history event (A3)."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from orchestrator.domain.commands import Control, Decision, JobInput
from orchestrator.domain.jobs import JobError, JobState
from orchestrator.domain.notes import Note
from orchestrator.domain.questions import AnswerInput
from orchestrator.domain.tally import Tally
from orchestrator.domain.turns import AgentTurn, ToolAttempts, ToolResult
from orchestrator.domain.usage import Usage
from orchestrator.domain.values import Stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One history event: its number within the run, and its time."""

    event_id: int
    run_id: str
    time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Fact):
    """A run began; `continued` if it continues an earlier run of the same job. Its code starts at `starts_at`."""

    workflow_type: str
    task_queue: str
    job: JobInput | None
    continued: bool
    starts_at: datetime | None = None
    stored: tuple[Stored, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAdopted(Fact):
    """A workflow that was not started through the API became a job; `job` is its input."""

    job: JobInput
    stored: tuple[Stored, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowTaskDone(Fact):
    """A worker ran the workflow's code up to its next wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowTaskBroken(Fact):
    """The workflow's code failed, for example because it no longer fits the history."""

    cause: str
    message: str
    worker: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentScheduled(Fact):
    """An agent call was scheduled."""

    step: str
    agent: str
    call: int = 1
    key: str = ""
    path: str = ""
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStarted(Fact):
    """The last attempt of the call began. Temporal writes this event once the call has ended."""

    scheduled_id: int
    attempt: int
    last_error: JobError | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCompleted(Fact):
    """The call has a result. `attempt` is the agent's attempt that gave it; None if an older release ran it.

    With a `turn`, the call goes on with tools. `tool` is the result of a tool call.
    """

    scheduled_id: int
    attempt: int | None = None
    usage: Usage
    model: str | None
    summary: str
    turn: AgentTurn | None = None
    tool: ToolResult | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFailed(Fact):
    """The call failed and is not retried; `timed_out` if a time limit ended it.

    `tally` counts its tries; None if an older release made them. The call goes on with the model `fallback`, if any.
    """

    scheduled_id: int
    tally: Tally | None = None
    error: JobError
    timed_out: bool
    fallback: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCancelled(Fact):
    """The call was cancelled."""

    scheduled_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptsCounted(Fact):
    """The workflow counted the attempts of open tool calls, because it was about to cancel some of them.

    Temporal does not record the attempts of a call that is cancelled between two of them.
    """

    calls: tuple[ToolAttempts, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortCallRecorded(Fact):
    """A short step ran as a local activity; history records only its end."""

    step: str
    agent: str
    call: int = 1
    key: str = ""
    path: str = ""
    attempt: int
    started_at: datetime
    usage: Usage = field(default_factory=Usage)
    model: str | None = None
    summary: str = ""
    error: JobError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReused(Fact):
    """Workflow code reused the answer of a call of an earlier job that this job retries."""

    step: str
    agent: str
    call: int = 1
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted(Fact):
    """The workflow's code wrote down what it decided."""

    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerGiven(Fact):
    """A workflow accepted an answer to a question. One that repeats an earlier answer is accepted, too."""

    answer: AnswerInput


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildFact(Fact):
    """A fact of a child job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildScheduled(ChildFact):
    """The job `child` is started as a call of this job. `agent` is its workflow."""

    step: str
    agent: str
    call: int = 1
    key: str = ""
    child: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildStarted(ChildFact):
    """Temporal has started a child."""

    scheduled_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildEnded(ChildFact):
    """A child has ended; `usage` is that of all its calls."""

    step: str
    agent: str
    call: int = 1
    key: str = ""
    child: str
    state: JobState
    usage: Usage
    error: JobError | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAsked(Fact):
    """A step waits for a person. The event is the start of the timer that limits the wait."""

    step: str
    timer_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitBegan(Fact):
    """A step waits for a time. The event is the start of its timer; `place` is the step with its key."""

    place: str
    timer_id: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalEnded(Fact):
    """A timer, such as that of an approval, fired (`expired`) or was cancelled, for example by a decision."""

    timer_id: str
    expired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalReceived(Fact):
    """A signal arrived. `control` is its meaning for a declared workflow, None if such a workflow ignores it.

    `payload` is for a workflow in code: the signal's first input if that is a JSON object, else empty. `actor` sent it
    through the API.
    """

    name: str
    control: Control | Decision | None
    payload: dict[str, Any]
    actor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested(Fact):
    """A cancellation of the job was requested."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCompleted(Fact):
    """The workflow returned."""

    result: dict[str, Any] | None
    stored: tuple[Stored, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFailed(Fact):
    """The workflow failed."""

    error: JobError


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTimedOut(Fact):
    """The workflow reached its time limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCancelled(Fact):
    """The workflow ended as cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTerminated(Fact):
    """An operator terminated the workflow."""

    reason: str
    identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContinued(Fact):
    """A new run continues this run."""

    new_run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReset(Fact):
    """An operator reset the job: this run continues from an earlier event of `base_run_id`; later events are void."""

    base_run_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherEvent(Fact):
    """An event that does not change the job."""

    kind: str


CALLS = (AgentScheduled, AgentStarted, AgentCompleted, AgentFailed, AgentCancelled, ShortCallRecorded, CallReused)
# Facts that a part of the fold of a job applies, or none.
OF_PARTS = (RunContinued, Noted, AnswerGiven, ChildFact, WaitBegan, AttemptsCounted, OtherEvent)
RUN_ENDS = (RunCompleted, RunFailed, RunTimedOut, RunCancelled, RunTerminated)


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingCall:
    """An open agent call. Temporal reports its retries here only, not in history.

    `attempt` counts the agent's attempts; `heard_at` is the time of the last heartbeat of its worker.
    """

    step: str
    agent: str
    call: int = 1
    key: str = ""
    path: str = ""
    started: bool
    attempt: int
    last_started_at: datetime | None = None
    heard_at: datetime | None = None
    next_attempt_at: datetime | None = None
    last_error: JobError | None = None
    cancel_requested: bool = False
    paused: bool = False

    @property
    def begun(self) -> int:
        """How many attempts have begun: `attempt` also counts the one that the call waits for."""
        return self.attempt - (not self.started)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """What Temporal reports beside history: open calls, an open workflow task, and pollers of the task queue.

    `pollers` is None if the task queue did not answer. `unattended` are task queues of single steps on which a call
    waits without a poller. `at` is the time of the report.
    """

    calls: tuple[PendingCall, ...] = ()
    task_open: bool = False
    task_started: bool = False
    pollers: int | None = None
    unattended: tuple[str, ...] = ()
    at: datetime | None = None


NOTHING_PENDING = Pending()
