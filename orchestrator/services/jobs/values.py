"""Jobs with their large values: a detail shows them whole, a list never loads them (decision 0013)."""

import structlog

from orchestrator.domain.commands import JobInput
from orchestrator.domain.errors import NotFound, Unavailable
from orchestrator.domain.jobs import Job
from orchestrator.domain.ports import ValueStore
from orchestrator.domain.values import restored
from orchestrator.engine.values import bodies_of
from orchestrator.storage.jobs import JobRecord

log = structlog.get_logger(__name__)


class JobValues:
    """Puts stored values back into jobs."""

    def __init__(self, store: ValueStore) -> None:
        self._store = store

    async def whole(self, job: Job) -> Job:
        """The job with its whole input and result. Raises `NotFound` for a value that is gone, `Unavailable`."""
        if not job.stored:
            return job
        bodies = await bodies_of(self._store, job.stored)
        parts = restored({"input": job.input, "result": job.result}, job.stored, bodies)
        return job.model_copy(update={**parts, "stored": []})

    async def shown(self, job: Job) -> Job:
        """The job with what can be read now: the beginnings of texts stand for those that cannot."""
        try:
            return await self.whole(job)
        except (NotFound, Unavailable) as fault:
            log.warning("values_not_read", job_id=job.id, error=fault.message)
            return job

    async def started_with(self, row: JobRecord) -> JobInput:
        """The whole input of a job from its row. Raises `NotFound`, `Unavailable`."""
        if not row.stored:
            return row.job
        bodies = await bodies_of(self._store, row.stored)
        return JobInput.model_validate(restored(row.job.model_dump(mode="json"), row.stored, bodies))
