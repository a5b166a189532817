"""What became of one agent call: a small accumulator that the fold of a job keeps for each."""

from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.domain.commands import ReusedCall
from orchestrator.domain.facts import PendingCall
from orchestrator.domain.jobs import AgentCall, Attempt, AttemptStatus, CallStatus, JobError
from orchestrator.domain.tally import WAITED, WORKER_SHUTDOWN, Tally
from orchestrator.domain.usage import Usage
from orchestrator.projection.failures import is_timeout


@dataclass(slots=True)
class CallFold:
    """One planned or seen call. Terminal statuses are final."""

    step: str
    agent: str
    title: str
    number: int = 1
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
    reused_from: str | None = None
    reused: Usage = field(default_factory=Usage)

    def reuse(self, given: ReusedCall) -> None:
        """The call was made by an earlier job; its answer stands."""
        self.status, self.model = CallStatus.COMPLETED, given.model
        self.reused_from, self.reused = given.job_id, given.usage
        self.started_at, self.completed_at = given.started_at, given.completed_at

    def counted(self, tally: Tally | None) -> None:
        """Count the agent's own attempts, where they are known, instead of Temporal's."""
        if tally is not None:
            self.attempt = tally.number(self.attempt) if self.attempt else tally.attempts

    def end(self, status: CallStatus, at: datetime, error: JobError | None = None) -> None:
        """The call ended."""
        self.status, self.completed_at, self.error = status, at, error
        if self.attempt == 0 and self.started_at is not None and (error is None or error.type not in WAITED):
            self.attempt = 1

    def call(self, pending: PendingCall | None, *, job_ended: bool, waiting: bool, deciding: bool) -> AgentCall:
        """The call as it stands, with what Temporal holds open for it.

        `waiting` when its step asks for approval; `deciding` while the workflow's own code is at work: an end that
        comes then is written only afterwards, though the call is pending no more.
        """
        status, attempt, last_error, started = self.status, self.attempt, self.last_error, self.started_at
        if pending is not None and not self.status.ended:
            attempt, last_error = pending.attempt, pending.last_error
            started = pending.last_started_at if pending.started else None
            status = _open_status(pending)
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
            reused_from=self.reused_from,
            reused=self.reused,
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
    """Attempts as history knows them: the last one exactly, the one before by its error, earlier ones not at all."""
    told: list[Attempt] = []
    for number in range(1, attempt):
        # A worker that lacks the agent begins no attempt: what it says is not how the one before ended.
        known = last_error if number == attempt - 1 and not (last_error and last_error.type in WAITED) else None
        told.append(Attempt(number=number, status=_past(known), error=known))
    if attempt and status in _LAST:
        last = _LAST[status]
        if last is AttemptStatus.FAILED and fold.error is not None and is_timeout(fold.error):
            last = AttemptStatus.TIMED_OUT
        told.append(
            Attempt(number=attempt, status=last, started_at=started, completed_at=fold.completed_at, error=fold.error)
        )
    return told


def _past(error: JobError | None) -> AttemptStatus:
    if error is None or error.type == WORKER_SHUTDOWN:
        return AttemptStatus.UNKNOWN
    return AttemptStatus.TIMED_OUT if is_timeout(error) else AttemptStatus.FAILED
