"""Compares the index with Temporal and repairs the index, never the other way round (A4)."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog

from orchestrator.domain.commands import ReconcileReport, ReconcileRequest
from orchestrator.domain.errors import InvalidInput, NotFound, Unavailable
from orchestrator.domain.facts import Fact
from orchestrator.domain.jobs import Job, JobError, JobState, Reason, ReasonCode, StartState
from orchestrator.engine.gateway import TemporalGateway
from orchestrator.engine.visibility import Visibility
from orchestrator.projection.attempts import unwritten, with_attempts
from orchestrator.projection.job import project
from orchestrator.services.jobs.reader import UNKNOWN_HERE, JobReader, accepted
from orchestrator.services.jobs.reasons import noted
from orchestrator.services.jobs.retention import IndexPruner
from orchestrator.services.jobs.values import JobValues
from orchestrator.services.webhooks.dispatcher import DeliveryDispatcher
from orchestrator.storage.attempts import AttemptRepository
from orchestrator.storage.jobs import JobRepository
from orchestrator.storage.open_jobs import OpenRow
from orchestrator.storage.resets import ResetRepository

log = structlog.get_logger(__name__)

_OVERDUE: Final = timedelta(minutes=5)  # How late a delivery's attempt may be before its workflow is looked at.
# How many jobs a pass looks at although they run: their state may have changed by a signal past the API.
_LOOKS: Final = 50
# A list of running jobs costs Temporal a third of a second for each thousand: after so many it pauses for so long.
_LISTED: Final = 1000
_PAUSE: Final = timedelta(seconds=15)
_VERY_YOUNG: Final = timedelta(seconds=2)  # A younger job is not looked at only to note why it is where it is.
_FORCED: Final = timedelta(hours=1)  # How far back jobs are looked for that were ended by force after a reset.
_HANGS: Final = frozenset({ReasonCode.STUCK, ReasonCode.NO_WORKER, ReasonCode.UNKNOWN_AGENT})
_UNKNOWN: Final = ""  # What is noted of a job that Temporal did not know at the last look.


class IndexReconciler:
    """One pass: close what ended, start what was accepted and never started, drop what was refused, tell webhooks.

    What a pass costs does not grow with the jobs that wait: one request for each thousand of them, and a look at a
    bounded number. A history is read only of a job that has ended, or got new events since the last look.
    """

    def __init__(
        self,
        gateway: TemporalGateway,
        visibility: Visibility,
        reader: JobReader,
        jobs: JobRepository,
        attempts: AttemptRepository,
        *,
        resets: ResetRepository,
        dispatcher: DeliveryDispatcher,
        pruner: IndexPruner,
        values: JobValues,
        clock: Callable[[], datetime],
    ) -> None:
        self._gateway = gateway
        self._visibility = visibility
        self._reader = reader
        self._jobs = jobs
        self._attempts = attempts
        self._resets = resets
        self._dispatcher = dispatcher
        self._pruner = pruner
        self._values = values
        self._clock = clock
        self._listed_at: datetime | None = None

    async def reconcile(self, request: ReconcileRequest) -> ReconcileReport:
        """Compare every unfinished row older than the grace. Raises `Unavailable` when a store does not answer."""
        at = self._clock()
        before = at - timedelta(seconds=request.grace)
        # First: what a failing pass closes is dispatched by whoever closes it, and in the next pass if need be.
        told = await self._dispatcher.repair(before=before, limit=request.limit)
        given_up = await self._dispatcher.give_up(at=at, before=before - _OVERDUE, limit=request.limit)
        rows = await self._jobs.unfinished(before=before, started_before=at - _VERY_YOUNG)
        done = {"checked": len(rows), "closed": 0, "started": 0, "dropped": 0, "told": told, "given_up": given_up}
        histories: dict[str, str] = {}
        reasons: dict[str, Reason] = {}
        running = await self._running(rows)
        problems = frozenset() if running is None else await self._problems()
        for row in self._due(rows, before, running, request.limit, problems):
            verdict = await self._one(row, histories, reasons)
            if verdict is not None:
                done[verdict] += 1
                log.info("index_repaired", job_id=row.id, verdict=verdict)
        await self._jobs.checked(histories, at=at)
        await self._jobs.note_reasons(reasons, at=at)
        done["reopened"] = await self._reopened(running, at, request.limit)
        # Last: repairs go first, and a pass that fails prunes nothing.
        pruned = await self._pruner.prune(at)
        return ReconcileReport(**done, pruned=pruned)

    @staticmethod
    def _due(
        rows: Sequence[OpenRow],
        before: datetime,
        running: Mapping[str, str] | None,
        limit: int,
        problems: Collection[str],
    ) -> list[OpenRow]:
        """The rows to look at one by one: at most `limit` that may not run, and some of those that seem to.

        Of those, first what hangs as the server says, then what moved since the last look or was never looked at, then
        what hung at the last look.
        """
        old = [row for row in rows if row.created_at < before]
        doubted = [row for row in old if not _open(row) or (running is not None and row.id not in running)]
        # Jobs of another Temporal, which may be many, must not hold up those of this one.
        doubted.sort(key=lambda row: row.checked_history == _UNKNOWN)
        chosen = doubted[:limit]
        known = {row.id for row in chosen}
        others = [row for row in rows if _open(row) and row.id not in known]
        others.sort(key=lambda row: (row.id not in problems, not _moved(row), row.reason_code not in _HANGS))
        return chosen + others[:_LOOKS]

    async def _problems(self) -> frozenset[str]:
        """Jobs of which the server says that they hang. What it does not say, a look at their histories tells."""
        try:
            return frozenset(await self._visibility.reported_problems())
        except (Unavailable, InvalidInput) as fault:
            log.debug("problems_not_read", error=fault.message)
            return frozenset()

    async def _reopened(self, running: Mapping[str, str] | None, at: datetime, limit: int) -> int:
        """Open the rows again of jobs that had ended and were reset in Temporal: they go on, or have ended again."""
        if running is None:
            return 0
        try:
            seen = {**await self._visibility.ended_by_force(since=at - _FORCED), **running}
        except (Unavailable, InvalidInput) as fault:
            log.warning("visibility_not_read", error=fault.message)
            return 0
        ended = await self._resets.last_runs(list(seen))
        others = [job_id for job_id, run_id in ended.items() if seen[job_id] != run_id]
        return sum([await self._reopen(job_id, ended[job_id]) for job_id in others[:limit]])

    async def _reopen(self, job_id: str, last_run: str) -> bool:
        try:
            facts, pending = await self._gateway.read(job_id)
        except NotFound:
            return False
        job = project(job_id, facts, pending)
        if job.run_id == last_run or job.began_at is None:
            return False
        first_run = await self._jobs.first_run(job_id)
        if first_run is not None and first_run != facts[0].run_id:
            log.warning("job_id_used_again", job_id=job_id, run_id=job.run_id)
            return False
        reopened = await self._resets.reopen(job_id, run_id=job.run_id, began_at=job.began_at)
        if reopened:
            log.info("job_reopened", job_id=job_id, run_id=job.run_id)
        if reopened and job.state.terminal:
            await self._close(job, facts)
        return reopened

    async def _close(self, job: Job, facts: Sequence[Fact]) -> bool:
        """Write how a job ended, with the attempts that only its history or only the index knows."""
        rows = await self._attempts.for_job(job.id)
        return await self._reader.close(with_attempts(job, rows), facts, unwritten(job, rows))

    async def _running(self, rows: Sequence[OpenRow]) -> dict[str, str] | None:
        """The run of each job that Temporal runs; None where it is not asked or does not answer."""
        at, pause = self._clock(), _PAUSE * (len(rows) // _LISTED)
        if self._listed_at and at - self._listed_at < pause:
            return None
        try:
            running = await self._visibility.running()
        except (Unavailable, InvalidInput) as fault:
            log.warning("visibility_not_read", error=fault.message)
            return None
        self._listed_at = at
        return running

    async def _one(self, row: OpenRow, histories: dict[str, str], reasons: dict[str, Reason]) -> str | None:
        """Look at one row and repair it. Notes where the history of an open job ends, and why the job is there."""
        try:
            current = await self._gateway.current_run(row.id)
            histories[row.id] = current.position
            same = current.position == row.checked_history and not current.waits_for_worker
            if same and current.running and row.start_state is StartState.STARTED:
                return None
            facts, pending = await self._gateway.read(row.id)
        except NotFound:
            histories[row.id] = _UNKNOWN
            return await self._unknown(row, reasons)
        job = project(row.id, facts, pending)
        if not job.state.terminal:
            # An attempt without an end holds tokens that the owner's other calls wait for.
            if missing := unwritten(job, await self._attempts.for_job(job.id)):
                await self._attempts.repair(job, missing)
            if (reason := noted(job.reason, pending)) is not None:
                reasons[row.id] = reason
            if row.start_state is not StartState.STARTED:
                await self._jobs.started(row.id, job.run_id, await self._gateway.namespace_id())
            if row.state is not job.state:
                await self._jobs.set_state(row.id, job.state)
            return None
        return "closed" if await self._close(job, facts) else None

    async def _unknown(self, row: OpenRow, reasons: dict[str, Reason]) -> str | None:
        """Temporal does not know the job: never started, refused, deleted there, or another Temporal's."""
        if row.start_state is StartState.DOUBTFUL:
            await self._jobs.drop(row.id)
            return "dropped"
        if row.start_state is StartState.STARTED and row.namespace_id != await self._gateway.namespace_id():
            log.warning("job_of_another_temporal", job_id=row.id)
            reasons[row.id] = UNKNOWN_HERE
            return None
        record = await self._jobs.get(row.id)
        if record is None:
            return None
        if row.start_state is StartState.ACCEPTED:
            try:
                whole = await self._values.started_with(record)
            except NotFound:  # The process died between the row and its large values: nobody was told of the job.
                await self._jobs.drop(row.id)
                return "dropped"
            run_id = await self._gateway.start(whole)
            await self._jobs.started(row.id, run_id, await self._gateway.namespace_id())
            return "started"
        error = JobError(type="deleted", message="Temporal no longer holds this job; it was deleted there.")
        job = accepted(record).model_copy(
            update={
                "state": JobState.CANCELLED,
                "reason": None,
                "error": error,
                "run_id": record.run_id or "",
                "started_at": record.started_at,
                "closed_at": self._clock(),
            }
        )
        await self._reader.close(job, ())
        return "closed"


def _moved(row: OpenRow) -> bool:
    """Whether a call of the job began or ended since the last look at it, or nobody has looked yet."""
    return row.checked_at is None or (row.moved_at is not None and row.moved_at > row.checked_at)


def _open(row: OpenRow) -> bool:
    """Whether a row says that Temporal runs its job."""
    return row.start_state is StartState.STARTED and not row.state.terminal
