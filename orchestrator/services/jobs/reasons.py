"""Why open jobs are where they are, for lists: noted whenever a job is looked at, and told with its age."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from orchestrator.domain.facts import Pending
from orchestrator.domain.jobs import Job, JobState, Reason, ReasonCode, StartState
from orchestrator.storage.jobs import JobRepository, JobRow
from orchestrator.storage.lists import HELD

ROUTINE: Final = frozenset({ReasonCode.QUEUED, ReasonCode.RUNNING, ReasonCode.RETRYING, ReasonCode.NO_SIGN_OF_LIFE})
"""Reasons that come and go while a job simply runs."""
_AGAIN: Final = timedelta(seconds=30)  # What has not changed is noted again after so long.
# Most jobs are over by then: a routine reason of theirs is not worth a write.
_YOUNG: Final = timedelta(seconds=10)
_REMEMBERED: Final = 10_000
_NO_WORKER: Final = "No worker polls the task queue; nothing new begins until one does."
_DOUBTFUL: Final = "Temporal has not answered the start, as its caller was told; it is looked up when it answers."


@dataclass(frozen=True, slots=True)
class NotedReason:
    """A reason as it was seen. `seen_at` is None for what holds at this moment."""

    code: ReasonCode
    message: str
    since: datetime | None
    seen_at: datetime | None


def noted(reason: Reason | None, pending: Pending) -> Reason | None:
    """What is worth a note. That no worker is there at all is asked anew for each list: it holds for every job."""
    if reason is None or (reason.code is ReasonCode.NO_WORKER and pending.pollers == 0):
        return None
    return reason


def seen(row: JobRow, *, unattended: bool) -> NotedReason | None:
    """Why the job of a row is where it is; `unattended` while no worker polls the queue of jobs."""
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
    """Notes the reasons of the jobs that this process reads, as often as it is worth."""

    def __init__(self, jobs: JobRepository, *, clock: Callable[[], datetime]) -> None:
        self._jobs = jobs
        self._clock = clock
        self._last: OrderedDict[str, tuple[Reason, datetime]] = OrderedDict()

    def due(self, job: Job, pending: Pending) -> bool:
        """Whether the reason of a job that was just read is to be noted."""
        reason, now = noted(job.reason, pending), self._clock()
        if reason is None:
            return False
        known = self._last.get(job.id)
        if known is None:
            return reason.code not in ROUTINE or now - job.created_at > _YOUNG
        before, at = known
        same = before.code is reason.code and (reason.code in ROUTINE or before.message == reason.message)
        return not same or now - at > _AGAIN

    async def note(self, job: Job) -> None:
        """Note it. Raises `Unavailable`."""
        if job.reason is None:
            return
        at = self._clock()
        self._last[job.id] = (job.reason, at)
        self._last.move_to_end(job.id)
        while len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)
        await self._jobs.note_reasons({job.id: job.reason}, at=at)
