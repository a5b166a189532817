"""The fold of one agent call, a part of the fold of its job."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.domain.call_ids import CallId
from orchestrator.domain.commands import ReusedCall
from orchestrator.domain.facts import AgentCompleted, AgentFailed, AgentScheduled, PendingCall
from orchestrator.domain.jobs import AgentCall, Attempt, AttemptStatus, CallStatus, JobError
from orchestrator.domain.tally import WAITED, WORKER_SHUTDOWN
from orchestrator.domain.turns import is_tool_path, turn_of
from orchestrator.domain.usage import Usage
from orchestrator.projection.failures import is_timeout
from orchestrator.projection.tool_calls import TurnsFold, attempt_of, usage_before


@dataclass(slots=True)
class CallFold:
    """One planned or scheduled call. Terminal statuses are final."""

    step: str
    agent: str
    title: str
    number: int = 1
    key: str = ""
    run_id: str = ""
    status: CallStatus = CallStatus.PENDING
    attempt: int = 0
    last_error: JobError | None = None
    scheduled_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    usage: Usage = field(default_factory=Usage)
    model: str | None = None
    error: JobError | None = None
    why: str | None = None
    reused_from: str | None = None
    child: str | None = None
    reused: Usage = field(default_factory=Usage)
    turns: TurnsFold = field(default_factory=TurnsFold)

    @property
    def id(self) -> CallId:
        """The identity of the call."""
        return CallId(self.step, self.agent, self.number, self.key)

    def scheduled(self, fact: AgentScheduled) -> None:
        """The call was scheduled, or its next turn, or the same turn with another model."""
        self.status, self.completed_at, self.error = CallStatus.SCHEDULED, None, None
        self.last_error, self.started_at, self.run_id = None, None, fact.run_id
        if fact.path:
            self.turns.turns = turn_of(fact.path)
            self.attempt = self.turns.before
            return
        self.attempt, self.scheduled_at, self.turns = 0, fact.time, TurnsFold()

    def completed(self, fact: AgentCompleted) -> None:
        """A request has its answer, or the next part of the work."""
        self.attempt = fact.attempt or self.attempt
        self.model = fact.model
        attempts = self.turns.continued.values()
        self.usage = usage_before(attempts).plus(fact.usage) if attempts else fact.usage
        if fact.turn is not None:
            attempt = attempt_of(fact, max(1, self.attempt), self.started_at)
            self.turns.asked(self.id, fact.turn, attempt, self.tool_failed)
            self.status, self.attempt = CallStatus.RUNNING, attempt.number
            return
        self.end(CallStatus.COMPLETED, fact.time)

    def failed(self, fact: AgentFailed) -> None:
        """A request failed for good. The call has failed if no other model is asked."""
        error = fact.error.model_copy(update={"step": self.step, "agent": self.agent})
        tally = fact.tally
        if tally is not None:
            before = self.turns.before
            self.attempt = before + (tally.number(self.attempt - before) if self.attempt > before else tally.attempts)
        if fact.fallback is None:
            self.end(CallStatus.FAILED, fact.time, error)
            return
        self.turns.before, self.status, self.last_error = max(1, self.attempt), CallStatus.RUNNING, error

    def tool_failed(self, fact: AgentFailed) -> None:
        """A tool call failed that fails its agent call."""
        error = fact.error.model_copy(update={"step": self.step, "agent": self.agent})
        self.status, self.completed_at, self.error = CallStatus.FAILED, fact.time, error

    def reuse(self, call: ReusedCall) -> None:
        """Complete the call with the answer of an earlier job."""
        self.status, self.model = CallStatus.COMPLETED, call.model
        self.reused_from, self.reused = call.job_id, call.usage
        self.started_at, self.completed_at = call.started_at, call.completed_at

    def end(self, status: CallStatus, at: datetime, error: JobError | None = None) -> None:
        """End the call."""
        self.status, self.completed_at, self.error = status, at, error
        if self.attempt == 0 and self.started_at is not None and (error is None or error.type not in WAITED):
            self.attempt = 1

    def call(
        self, pending: Mapping[str, PendingCall], *, job_id: str, job_ended: bool, waiting: bool, deciding: bool
    ) -> AgentCall:
        """The call as it is now, with its pending activities in Temporal by path.

        `waiting` if its step waits for approval; `deciding` while the workflow's code runs: the end of a call is then
        not in history yet, although the call is no longer pending.
        """
        status, attempt, last_error, started = self.status, self.attempt, self.last_error, self.started_at
        request = next((each for path, each in pending.items() if not is_tool_path(path)), None)
        if request is not None and not self.status.ended:
            attempt, last_error = self.turns.before + request.attempt, request.last_error
            started = request.last_started_at if request.started else None
            status = _open_status(request)
        elif job_ended and not self.status.ended:
            status = CallStatus.SKIPPED if self.scheduled_at is None else CallStatus.CANCELLED
        elif deciding and status is CallStatus.SCHEDULED:
            status = CallStatus.RUNNING
        elif waiting and status is CallStatus.PENDING:
            status = CallStatus.WAITING_FOR_APPROVAL
        return AgentCall(
            step=self.step,
            agent=self.agent,
            number=self.number,
            key=self.key,
            run_id=self.run_id,
            title=self.title,
            status=status,
            attempts=_attempts(self, status, attempt, last_error, started),
            scheduled_at=self.scheduled_at,
            started_at=started,
            completed_at=self.completed_at,
            usage=self.usage,
            model=self.model,
            error=self.error,
            why=self.why,
            reused_from=self.reused_from,
            child=self.child,
            reused=self.reused,
            turns=self.turns.turns,
            max_turns=self.turns.max_turns,
            tool_calls=self.turns.records(self.id, job_id, pending, job_ended=job_ended),
        )


def _open_status(pending: PendingCall) -> CallStatus:
    if pending.started:
        return CallStatus.RUNNING
    return CallStatus.RETRYING if pending.attempt > 1 or pending.last_error is not None else CallStatus.SCHEDULED


_LAST: dict[CallStatus, AttemptStatus] = {
    CallStatus.COMPLETED: AttemptStatus.COMPLETED,
    CallStatus.FAILED: AttemptStatus.FAILED,
    CallStatus.CANCELLED: AttemptStatus.CANCELLED,
    CallStatus.RUNNING: AttemptStatus.RUNNING,
}


def _attempts(
    fold: CallFold, status: CallStatus, attempt: int, last_error: JobError | None, started: datetime | None
) -> list[Attempt]:
    """Attempts in history: the last one whole, the one before only by its error, earlier ones without details."""
    attempts: list[Attempt] = []
    for number in range(1, attempt):
        if number in fold.turns.continued:
            attempts.append(fold.turns.continued[number])
            continue
        # A worker that lacks the agent begins no attempt: its error is not the end of the attempt before.
        error = last_error if number == attempt - 1 and not (last_error and last_error.type in WAITED) else None
        attempts.append(Attempt(number=number, status=_past(error), error=error))
    if attempt in fold.turns.continued:
        attempts.append(fold.turns.continued[attempt])
    elif attempt and status in _LAST:
        last = _LAST[status]
        if last is AttemptStatus.FAILED and fold.error is not None and is_timeout(fold.error):
            last = AttemptStatus.TIMED_OUT
        attempts.append(
            Attempt(number=attempt, status=last, started_at=started, completed_at=fold.completed_at, error=fold.error)
        )
    return attempts


def _past(error: JobError | None) -> AttemptStatus:
    if error is None or error.type == WORKER_SHUTDOWN:
        return AttemptStatus.UNKNOWN
    return AttemptStatus.TIMED_OUT if is_timeout(error) else AttemptStatus.FAILED
