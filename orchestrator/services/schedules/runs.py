"""Turns the runs of schedules into jobs: with the present catalogue, credential and limits of their owner."""

import hashlib
from dataclasses import dataclass

import structlog

from orchestrator.domain.commands import Adopted, Adoption, JobInput
from orchestrator.domain.errors import Forbidden, InvalidInput, LimitExceeded, NotFound, OrchestratorError, Unavailable
from orchestrator.domain.jobs import JobError
from orchestrator.domain.labels import JobLabel
from orchestrator.domain.schedules import ScheduleRow, is_schedule
from orchestrator.engine.gateway import TemporalGateway
from orchestrator.engine.job_schedules import JobSchedules
from orchestrator.services.access.permissions import permitted
from orchestrator.services.jobs.start import JobStarter, StartRequest
from orchestrator.services.schedules.credentials import ScheduleCredentials
from orchestrator.storage.jobs import JobRepository
from orchestrator.storage.schedules import ScheduleRepository

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ScheduledRuns:
    """Accepts the runs of the API's schedules. A run that is refused is a failed job, which says why."""

    rows: ScheduleRepository
    credentials: ScheduleCredentials
    schedules: JobSchedules
    starter: JobStarter
    gateway: TemporalGateway
    jobs: JobRepository

    async def accept(self, adoption: Adoption) -> Adopted | None:
        """The job of a run, or None if no schedule of the API started it.

        Raises `Unavailable`: a run waits for the index, which has the limits. `InvalidInput` for the id of another run.
        """
        source = adoption.job_input
        if adoption.schedule is None or source is None or not is_schedule(adoption.schedule):
            return None
        row = await self.rows.get(adoption.schedule)
        if row is None or adoption.parent is not None:
            return None
        await self._check_new(adoption)
        labels = {**source.labels, JobLabel.STARTED_BY: "schedule", JobLabel.SCHEDULE: row.id}
        job = source.model_copy(update={"job_id": adoption.job_id, "owner": row.owner, "labels": labels})
        refusal: JobError | None = None
        try:
            job = await self._accepted(row, job, adoption)
        except (Forbidden, InvalidInput, LimitExceeded, NotFound) as error:
            refusal = JobError(type=error.code, message=f"The schedule could not start this run. {error.message}")
            await self.jobs.accept(job, request_hash=_digest(job), at=adoption.at, runs=True)
            await self._pause_ended(row, error)
        await self.jobs.started(job.job_id, adoption.run_id, await self.gateway.namespace_id())
        log.info("scheduled_run", job_id=job.job_id, schedule_id=row.id, owner=job.owner, refused=refusal is not None)
        return Adopted(job=job, indexed=True, refusal=refusal)

    async def _check_new(self, adoption: Adoption) -> None:
        """Raise `InvalidInput` for a second run of one second: Temporal gives it the id of the first."""
        existing = await self.jobs.get(adoption.job_id)
        if existing is None or existing.run_id is None or adoption.first_run_id != adoption.run_id:
            return
        if existing.run_id != adoption.run_id:
            message = f"The schedule started {adoption.job_id} twice in one second"
            raise InvalidInput(message, field="workflow id", expected="one run in a second")

    async def _accepted(self, row: ScheduleRow, job: JobInput, adoption: Adoption) -> JobInput:
        """The job within its owner's limits, with its row."""
        principal = await self.credentials.principal(row)
        request = StartRequest(
            kind=row.kind,
            target=adoption.definition,
            input=job.input,
            config=job.config,
            webhook_url=job.webhook_url,
            labels=job.labels,
        )
        job = await self.starter.composed(request, owner=row.owner, job_id=job.job_id)
        limits = self.starter.quotas.limits(principal)
        job = self.starter.quotas.within_budget(principal, permitted(job, principal, limits))
        self.starter.models.check(job)
        await self.jobs.accept(job, request_hash=_digest(job), at=adoption.at, limit=limits.concurrent_jobs)
        return job

    async def _pause_ended(self, row: ScheduleRow, error: OrchestratorError) -> None:
        """Pause a schedule whose credential has ended: every later run would be refused, too."""
        if not isinstance(error, Forbidden):
            return
        try:
            await self.schedules.pause(row.id, error.message)
        except (NotFound, Unavailable) as fault:  # the next run tries again
            log.warning("schedule_not_paused", schedule_id=row.id, error=fault.message)


def _digest(job: JobInput) -> str:
    return hashlib.sha256(job.model_dump_json().encode()).hexdigest()
