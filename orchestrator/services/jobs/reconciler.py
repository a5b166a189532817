"""Compares the index with Temporal and repairs the index (A4). In Temporal it only starts jobs and deliveries."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
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
from orchestrator.services.jobs.reasons import reason_to_store
from orchestrator.services.jobs.retention import IndexPruner
from orchestrator.services.jobs.values import JobValues
from orchestrator.services.webhooks.dispatcher import DeliveryDispatcher
from orchestrator.storage.attempts import AttemptRepository
from orchestrator.storage.jobs import JobRecord, JobRepository
from orchestrator.storage.open_jobs import OpenRow
from orchestrator.storage.resets import ResetRepository

log = structlog.get_logger(__name__)

_OVERDUE: Final = timedelta(minutes=5)  # A delivery attempt that is later than this has its workflow checked.
# Running jobs that one pass checks: their state may have changed by a signal that did not come through the API.
_MAX_RUNNING_CHECKS: Final = 50
# To list running jobs costs Temporal up to a tenth of a second per thousand: lists pause for `_PAUSE` per `_LISTED`
# jobs.
_LISTED: Final = 1000
_PAUSE: Final = timedelta(seconds=15)
_VERY_YOUNG: Final = timedelta(seconds=2)  # A younger job is not checked only to store the reason for its state.
_FORCED: Final = timedelta(hours=1)  # How far back a pass searches for jobs that ended by force after a reset.
_STUCK_REASONS: Final = frozenset({ReasonCode.STUCK, ReasonCode.NO_WORKER, ReasonCode.UNKNOWN_AGENT})
_UNKNOWN: Final = ""  # The stored position of a job that Temporal did not know at the last check.


@dataclass(slots=True, eq=False, repr=False)
class IndexReconciler:
    """Closes rows of ended jobs, starts accepted jobs, drops rows of refused ones, and starts missing deliveries.

    The cost of a pass is bounded: one request for each thousand waiting jobs, and a check of a limited number. A
    history is read only if the job has ended, or has new events since the last check.

    Not frozen: it holds the time of the last list of running jobs.
    """

    gateway: TemporalGateway
    visibility: Visibility
    reader: JobReader
    jobs: JobRepository
    attempts: AttemptRepository
    _: KW_ONLY
    resets: ResetRepository
    dispatcher: DeliveryDispatcher
    pruner: IndexPruner
    values: JobValues
    clock: Callable[[], datetime]
    listed_at: datetime | None = field(default=None, init=False)

    async def reconcile(self, request: ReconcileRequest) -> ReconcileReport:
        """Compare every unfinished row that is older than the grace period. Raises `Unavailable`."""
        at = self.clock()
        before = at - timedelta(seconds=request.grace)
        # Deliveries first: those of jobs that this pass closes are dispatched with the close, or by the next pass.
        dispatched = await self.dispatcher.repair(before=before, limit=request.limit)
        given_up = await self.dispatcher.give_up(at=at, before=before - _OVERDUE, limit=request.limit)
        rows = await self.jobs.unfinished(before=before, started_before=at - _VERY_YOUNG)
        counts = {
            "checked": len(rows),
            "closed": 0,
            "started": 0,
            "dropped": 0,
            "dispatched": dispatched,
            "given_up": given_up,
        }
        histories: dict[str, str] = {}
        reasons: dict[str, Reason] = {}
        running = await self._running_jobs(rows)
        problems = frozenset() if running is None else await self._reported_problems()
        for row in self._rows_to_check(rows, before, running, request.limit, problems):
            verdict = await self._repair(row, histories, reasons)
            if verdict is not None:
                counts[verdict] += 1
                log.info("index_repaired", job_id=row.id, verdict=verdict)
        await self.jobs.checked(histories, at=at)
        await self.jobs.note_reasons(reasons, at=at)
        counts["reopened"] = await self._reopen_reset_jobs(running, at, request.limit)
        # Pruning last: repairs are more urgent, and a pass that fails prunes nothing.
        pruned = await self.pruner.prune(at)
        return ReconcileReport(**counts, pruned=pruned)

    @staticmethod
    def _rows_to_check(
        rows: Sequence[OpenRow],
        before: datetime,
        running: Mapping[str, str] | None,
        limit: int,
        problems: Collection[str],
    ) -> list[OpenRow]:
        """The rows to check one by one: at most `limit` that may not run, and some that seem to run.

        Of the latter, first those that the server reports as stuck, then those that moved since the last check or were
        never checked, then those that were stuck at the last check.
        """
        old = [row for row in rows if row.created_at < before]
        unconfirmed = [row for row in old if not _is_running(row) or (running is not None and row.id not in running)]
        # Jobs of another Temporal may be many: they must not delay those of this one.
        unconfirmed.sort(key=lambda row: row.checked_history == _UNKNOWN)
        due = unconfirmed[:limit]
        due_ids = {row.id for row in due}
        others = [row for row in rows if _is_running(row) and row.id not in due_ids]
        others.sort(
            key=lambda row: (row.id not in problems, not _has_moved(row), row.reason_code not in _STUCK_REASONS)
        )
        return due + others[:_MAX_RUNNING_CHECKS]

    async def _reported_problems(self) -> frozenset[str]:
        """The jobs that the server reports as stuck. The histories show the others."""
        try:
            return frozenset(await self.visibility.reported_problems())
        except (Unavailable, InvalidInput) as error:
            log.debug("problems_not_read", error=error.message)
            return frozenset()

    async def _reopen_reset_jobs(self, running: Mapping[str, str] | None, at: datetime, limit: int) -> int:
        """Reopen the rows of ended jobs that were reset in Temporal: they run again, or have ended again."""
        if running is None:
            return 0
        try:
            runs = {**await self.visibility.ended_by_force(since=at - _FORCED), **running}
        except (Unavailable, InvalidInput) as error:
            log.warning("visibility_not_read", error=error.message)
            return 0
        ended = await self.resets.last_runs(list(runs))
        others = [job_id for job_id, run_id in ended.items() if runs[job_id] != run_id]
        return sum([await self._reopen(job_id, ended[job_id]) for job_id in others[:limit]])

    async def _reopen(self, job_id: str, last_run: str) -> bool:
        try:
            facts, pending = await self.gateway.read(job_id)
        except NotFound:
            return False
        job = project(job_id, facts, pending)
        if job.run_id == last_run or job.began_at is None:
            return False
        first_run = await self.jobs.first_run(job_id)
        if first_run is not None and first_run != facts[0].run_id:
            log.warning("job_id_used_again", job_id=job_id, run_id=job.run_id)
            return False
        reopened = await self.resets.reopen(job_id, run_id=job.run_id, began_at=job.began_at)
        if reopened:
            log.info("job_reopened", job_id=job_id, run_id=job.run_id)
        if reopened and job.state.terminal:
            await self._close(job, facts)
        return reopened

    async def _close(self, job: Job, facts: Sequence[Fact]) -> bool:
        """Write the end of a job, with attempts from both its history and the index."""
        rows = await self.attempts.for_job(job.id)
        return await self.reader.close(with_attempts(job, rows), facts, unwritten(job, rows))

    async def _running_jobs(self, rows: Sequence[OpenRow]) -> dict[str, str] | None:
        """The run of each job that runs in Temporal. None if lists pause, or Temporal does not answer."""
        at, pause = self.clock(), _PAUSE * (len(rows) // _LISTED)
        if self.listed_at and at - self.listed_at < pause:
            return None
        try:
            running = await self.visibility.running()
        except (Unavailable, InvalidInput) as error:
            log.warning("visibility_not_read", error=error.message)
            return None
        self.listed_at = at
        return running

    async def _repair(self, row: OpenRow, histories: dict[str, str], reasons: dict[str, Reason]) -> str | None:
        """Check one row and repair it. Adds its position in history and the reason for its state to the mappings."""
        try:
            current = await self.gateway.current_run(row.id)
            histories[row.id] = current.position
            same = current.position == row.checked_history and not current.waits_for_worker
            if same and current.running and row.start_state is StartState.STARTED:
                return None
            facts, pending = await self.gateway.read(row.id, run=current)
        except NotFound:
            histories[row.id] = _UNKNOWN
            return await self._repair_unknown(row, reasons)
        job = project(row.id, facts, pending)
        if not job.state.terminal:
            # An attempt without an end reserves tokens, for which other calls of the owner wait.
            if missing := unwritten(job, await self.attempts.for_job(job.id)):
                await self.attempts.repair(job, missing)
            if (reason := reason_to_store(job.reason, pending)) is not None:
                reasons[row.id] = reason
            if row.start_state is not StartState.STARTED:
                await self.jobs.started(row.id, job.run_id, await self.gateway.namespace_id())
            if row.state is not job.state:
                await self.jobs.set_state(row.id, job.state)
            return None
        return "closed" if await self._close(job, facts) else None

    async def _repair_unknown(self, row: OpenRow, reasons: dict[str, Reason]) -> str | None:
        """Repair the row of a job that this Temporal does not know: not started, refused, deleted, or elsewhere."""
        if row.start_state is StartState.DOUBTFUL:
            await self.jobs.drop(row.id)
            return "dropped"
        if row.start_state is StartState.STARTED and row.namespace_id != await self.gateway.namespace_id():
            log.warning("job_of_another_temporal", job_id=row.id)
            reasons[row.id] = UNKNOWN_HERE
            return None
        record = await self.jobs.get(row.id)
        if record is None:
            return None
        if row.start_state is StartState.ACCEPTED:
            if await self._is_orphan(record):
                await self.jobs.drop(row.id)
                return "dropped"
            try:
                job_start = await self.values.started_with(record)
            except NotFound:  # The process died before it stored the large values: no caller has the job's id.
                await self.jobs.drop(row.id)
                return "dropped"
            run_id = await self.gateway.start(job_start)
            await self.jobs.started(row.id, run_id, await self.gateway.namespace_id())
            return "started"
        error = JobError(type="deleted", message="Temporal no longer holds this job; it was deleted there.")
        job = accepted(record).model_copy(
            update={
                "state": JobState.CANCELLED,
                "reason": None,
                "error": error,
                "run_id": record.run_id or "",
                "started_at": record.started_at,
                "closed_at": self.clock(),
            }
        )
        await self.reader.close(job, ())
        return "closed"

    async def _is_orphan(self, record: JobRecord) -> bool:
        """Whether an accepted job is the child of a job that has ended: nothing waits for it."""
        parent = record.job.parent
        if parent is None:
            return False
        try:
            return not (await self.gateway.current_run(parent.job_id)).running
        except NotFound:
            return True


def _has_moved(row: OpenRow) -> bool:
    """Whether a call of the job began or ended since the last check, or the job was never checked."""
    return row.checked_at is None or (row.moved_at is not None and row.moved_at > row.checked_at)


def _is_running(row: OpenRow) -> bool:
    """Whether a row says that Temporal runs its job."""
    return row.start_state is StartState.STARTED and not row.state.terminal
