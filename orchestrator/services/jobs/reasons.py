"""The reasons for the states of open jobs, for lists. Each read of a job stores its reason with the time."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from orchestrator.domain.facts import Pending
from orchestrator.domain.jobs import Job, JobState, Reason, ReasonCode, StartState
from orchestrator.storage.jobs import JobRepository, JobRow
from orchestrator.storage.lists import HELD

ROUTINE: Final = frozenset(
    {ReasonCode.QUEUED, ReasonCode.SCHEDULED, ReasonCode.RUNNING, ReasonCode.RETRYING, ReasonCode.NO_SIGN_OF_LIFE}
)
"""Reasons that come and go while a job runs as it should."""
_REPEAT: Final = timedelta(seconds=30)  # An unchanged reason is stored again after this time.
# Most jobs have ended by then: their routine reasons are not worth a write.
_YOUNG: Final = timedelta(seconds=10)
_REMEMBERED: Final = 10_000
_NO_WORKER: Final = "No worker polls the task queue; nothing new begins until one does."
_DOUBTFUL: Final = "Temporal has not answered the start of this job. The job is looked up once Temporal answers."


@dataclass(frozen=True, slots=True)
class NotedReason:
    """A stored reason. `seen_at` is None for a reason that holds now."""

    code: ReasonCode
    message: str
    since: datetime | None
    seen_at: datetime | None


def reason_to_store(reason: Reason | None, pending: Pending) -> Reason | None:
    """The reason to store, or None. `NO_WORKER` for lack of any worker holds for every job: each list asks for it."""
    if reason is None or (reason.code is ReasonCode.NO_WORKER and pending.pollers == 0):
        return None
    return reason


def reason_of(row: JobRow, *, unattended: bool) -> NotedReason | None:
    """The reason for the state of the job of a row. `unattended` is whether no worker polls the queue of jobs."""
    if row.state.terminal:
        return None
    if row.start_state is StartState.DOUBTFUL:
        return NotedReason(ReasonCode.QUEUED, _DOUBTFUL, None, None)
    if unattended and row.state is not JobState.PAUSED and row.reason_code not in HELD:
        return NotedReason(ReasonCode.NO_WORKER, _NO_WORKER, None, None)
    if row.reason_code is None:
        return None
    return NotedReason(row.reason_code, row.reason_message or "", row.reason_since, row.reason_seen)


class ReasonNotes:
    """Stores the reasons of the jobs that this process reads. Holds the last one of each job, to skip repetitions."""

    def __init__(self, jobs: JobRepository, *, clock: Callable[[], datetime]) -> None:
        self._jobs = jobs
        self._clock = clock
        self._last: OrderedDict[str, tuple[Reason, datetime]] = OrderedDict()

    def due(self, job: Job, pending: Pending) -> bool:
        """Whether to store the reason of a job that was just read."""
        reason, now = reason_to_store(job.reason, pending), self._clock()
        if reason is None:
            return False
        last = self._last.get(job.id)
        if last is None:
            return reason.code not in ROUTINE or now - job.created_at > _YOUNG
        before, at = last
        same = before.code is reason.code and (
            reason.code in ROUTINE or (before.message, before.people) == (reason.message, reason.people)
        )
        return not same or now - at > _REPEAT

    async def note(self, job: Job) -> None:
        """Store the reason of a job, and that it has begun: lists show what was read. Raises `Unavailable`."""
        if job.reason is None:
            return
        at = self._clock()
        self._last[job.id] = (job.reason, at)
        self._last.move_to_end(job.id)
        while len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)
        await self._jobs.note_reasons({job.id: job.reason}, at=at)
        # The index learns the first state of a job with its first attempt, for which there may be no worker yet.
        if job.state.open and job.state is not JobState.PENDING:
            await self._jobs.begun(job.id, job.state)
