"""Compares the index with Temporal and repairs the index, never the other way round (A4)."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from orchestrator.domain.commands import ReconcileReport, ReconcileRequest
from orchestrator.domain.errors import NotFound
from orchestrator.domain.jobs import JobError, JobState
from orchestrator.engine.gateway import TemporalGateway
from orchestrator.projection.attempts import unwritten, with_attempts
from orchestrator.projection.job import project
from orchestrator.services.dispatching import DeliveryDispatcher
from orchestrator.services.reading import JobReader, accepted
from orchestrator.storage.attempts import AttemptRepository
from orchestrator.storage.jobs import JobRecord, JobRepository

log = structlog.get_logger(__name__)

_OVERDUE: Final = timedelta(minutes=5)  # How late a delivery's attempt may be before its workflow is looked at.


class IndexReconciler:
    """One pass: close what ended, start what was accepted and never started, drop what was refused, tell webhooks."""

    def __init__(
        self,
        gateway: TemporalGateway,
        reader: JobReader,
        jobs: JobRepository,
        attempts: AttemptRepository,
        dispatcher: DeliveryDispatcher,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._gateway = gateway
        self._reader = reader
        self._jobs = jobs
        self._attempts = attempts
        self._dispatcher = dispatcher
        self._clock = clock

    async def reconcile(self, request: ReconcileRequest) -> ReconcileReport:
        """Look at every unfinished row older than the grace. Raises `Unavailable` when a store does not answer."""
        at = self._clock()
        before = at - timedelta(seconds=request.grace)
        # First: what a failing pass closes is dispatched by whoever closes it, and in the next pass if need be.
        told = await self._dispatcher.repair(before=before, limit=request.limit)
        given_up = await self._dispatcher.give_up(at=at, before=before - _OVERDUE, limit=request.limit)
        done = {"checked": 0, "closed": 0, "started": 0, "dropped": 0, "told": told, "given_up": given_up}
        for row in await self._jobs.unfinished(before=before, limit=request.limit):
            done["checked"] += 1
            verdict = await self._one(row)
            if verdict is not None:
                done[verdict] += 1
                log.info("index_repaired", job_id=row.id, verdict=verdict)
        return ReconcileReport(**done)

    async def _one(self, row: JobRecord) -> str | None:
        try:
            facts, pending = await self._gateway.read(row.id)
        except NotFound:
            return await self._unknown(row)
        job = project(row.id, facts, pending)
        if not job.state.terminal:
            if row.start_state != "started":
                await self._jobs.started(row.id, job.run_id, await self._gateway.namespace_id())
            if row.state is not job.state:
                await self._jobs.set_state(row.id, job.state)
            return None
        rows = await self._attempts.for_job(row.id)
        closed = await self._reader.close(with_attempts(job, rows), facts, unwritten(job, rows))
        return "closed" if closed else None

    async def _unknown(self, row: JobRecord) -> str | None:
        """Temporal does not know the job: never started, refused, deleted there, or another Temporal's."""
        if row.start_state == "accepted":
            run_id = await self._gateway.start(row.job)
            await self._jobs.started(row.id, run_id, await self._gateway.namespace_id())
            return "started"
        if row.start_state == "doubtful":
            await self._jobs.drop(row.id)
            return "dropped"
        if row.namespace_id != await self._gateway.namespace_id():
            log.warning("job_of_another_temporal", job_id=row.id)
            return None
        error = JobError(type="deleted", message="Temporal no longer holds this job; it was deleted there.")
        job = accepted(row).model_copy(
            update={
                "state": JobState.CANCELLED,
                "reason": None,
                "error": error,
                "run_id": row.run_id or "",
                "started_at": row.started_at,
                "closed_at": self._clock(),
            }
        )
        await self._reader.close(job, ())
        return "closed"
