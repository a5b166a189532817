"""The large values of jobs: the detail of a job includes them, a list never loads them (decision 0013)."""

from dataclasses import dataclass

import structlog

from orchestrator.domain.commands import JobInput
from orchestrator.domain.errors import NotFound, Unavailable
from orchestrator.domain.jobs import Job
from orchestrator.domain.ports import ValueStore
from orchestrator.domain.values import restored
from orchestrator.engine.values import bodies_of
from orchestrator.storage.jobs import JobRecord

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class JobValues:
    """Puts stored values back into jobs."""

    store: ValueStore

    async def whole(self, job: Job) -> Job:
        """The job with its whole input and result. Raises `NotFound` for a value that is gone, `Unavailable`."""
        if not job.stored:
            return job
        bodies = await bodies_of(self.store, job.stored)
        parts = restored({"input": job.input, "result": job.result}, job.stored, bodies)
        return job.model_copy(update={**parts, "stored": []})

    async def shown(self, job: Job) -> Job:
        """The job with all values that can be read now. The beginnings of texts replace the others."""
        try:
            return await self.whole(job)
        except (NotFound, Unavailable) as error:
            log.warning("values_not_read", job_id=job.id, error=error.message)
            return job

    async def started_with(self, row: JobRecord) -> JobInput:
        """The whole input of a job from its row. Raises `NotFound`, `Unavailable`."""
        if not row.stored:
            return row.job
        bodies = await bodies_of(self.store, row.stored)
        return JobInput.model_validate(restored(row.job.model_dump(mode="json"), row.stored, bodies))
