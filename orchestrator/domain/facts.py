"""What a job's history says, one value per history event, free of protobuf (A3)."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from orchestrator.domain.commands import Control, Decision, JobInput
from orchestrator.domain.jobs import JobError
from orchestrator.domain.tally import Tally
from orchestrator.domain.usage import Usage
from orchestrator.domain.values import Stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Anything that history recorded: its number within the run, and when."""

    event_id: int
    run_id: str
    time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Fact):
    """A run began; `continued` when it carries on an earlier run of the same job."""

    workflow_type: str
    task_queue: str
    job: JobInput | None
    continued: bool
    stored: tuple[Stored, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAdopted(Fact):
    """A workflow that was not started through the API became a job; `job` is what it runs with."""

    job: JobInput
    stored: tuple[Stored, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowTaskDone(Fact):
    """A worker took a step of the workflow's own code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowTaskBroken(Fact):
    """The workflow's own code could not go on, for example because it no longer fits the history."""

    cause: str
    message: str
    worker: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentScheduled(Fact):
    """An agent call was asked for."""

    step: str
    agent: str
    call: int = 1
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStarted(Fact):
    """The attempt that decided the call began. Written only once the call has closed."""

    scheduled_id: int
    attempt: int
    last_error: JobError | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCompleted(Fact):
    """The call gave a result. `attempt` is which of the agent's own did; None if an older release ran it."""

    scheduled_id: int
    attempt: int | None = None
    usage: Usage
    model: str | None
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFailed(Fact):
    """The call failed for good; `timed_out` when a limit ended it, `unknown` when its effect is not known.

    `tally` tells what became of its tries; None if an older release made them.
    """

    scheduled_id: int
    tally: Tally | None = None
    error: JobError
    timed_out: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCancelled(Fact):
    """The call was cancelled."""

    scheduled_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortCallRecorded(Fact):
    """A short step ran as a local activity; history keeps only its end."""

    step: str
    agent: str
    call: int = 1
    attempt: int
    started_at: datetime
    usage: Usage = field(default_factory=Usage)
    model: str | None = None
    summary: str = ""
    error: JobError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReused(Fact):
    """Workflow code asked for a call that an earlier job of the line had made, and got its answer."""

    step: str
    agent: str
    call: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAsked(Fact):
    """A step waits for a person; the timer that bounds the wait is the durable fact."""

    step: str
    timer_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalEnded(Fact):
    """The timer of an approval fired (`expired`) or was cancelled by a decision."""

    timer_id: str
    expired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalReceived(Fact):
    """Somebody sent a signal. `control` is what it asks of a declared workflow, None if such a workflow ignores it.

    `payload` is what it says to a workflow written in code: its first input if that is a JSON object, else empty.
    """

    name: str
    control: Control | Decision | None
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested(Fact):
    """Somebody asked to cancel the job."""

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
    """The workflow ran out of its own time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCancelled(Fact):
    """The workflow ended as cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTerminated(Fact):
    """An operator ended the workflow by force."""

    reason: str
    identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContinued(Fact):
    """The run handed over to a fresh one."""

    new_run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReset(Fact):
    """An operator reset the job: this run goes on from an earlier event of `base_run_id`; what followed is undone."""

    base_run_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Untold(Fact):
    """An event that says nothing about the job's state."""

    kind: str


CALLS = (AgentScheduled, AgentStarted, AgentCompleted, AgentFailed, AgentCancelled, ShortCallRecorded, CallReused)
RUN_ENDS = (RunCompleted, RunFailed, RunTimedOut, RunCancelled, RunTerminated)


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingCall:
    """An agent call that Temporal holds open now; retries live only here, not in history.

    `attempt` counts the agent's own; `heard_at` is when the worker that runs it last gave a sign of life.
    """

    step: str
    agent: str
    call: int = 1
    started: bool
    attempt: int
    last_started_at: datetime | None = None
    heard_at: datetime | None = None
    next_attempt_at: datetime | None = None
    last_error: JobError | None = None
    cancel_requested: bool = False
    paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """What Temporal knows beyond history: open calls, an open workflow task, and who polls the queue.

    `pollers` is None when the queue could not be asked. `unattended` are queues of
    single steps on which a call waits and no worker polls. `at` is the time of the answers.
    """

    calls: tuple[PendingCall, ...] = ()
    task_open: bool = False
    task_started: bool = False
    pollers: int | None = None
    unattended: tuple[str, ...] = ()
    at: datetime | None = None


NOTHING_PENDING = Pending()
