"""Builds the bodies of deliveries: for a job the fields of `/v1`, for other events the data of their row (D-100)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from orchestrator.domain.access import Principal
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.jobs import Job
from orchestrator.domain.labels import JobLabel
from orchestrator.domain.moments import stamp
from orchestrator.domain.webhooks import AccountEvent, Delivery, corrected
from orchestrator.services.jobs.follower import JobFollower
from orchestrator.services.jobs.native_fields import used
from orchestrator.services.jobs.output import JobOutputs
from orchestrator.services.jobs.reader import JobReader

_JOB_END_TIMEOUT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DeliveryBodies:
    """Builds the body of a delivery for each attempt, so that no row or history holds large or secret values."""

    reader: JobReader
    follower: JobFollower
    outputs: JobOutputs

    async def of(self, delivery: Delivery | AccountEvent) -> dict[str, Any]:
        """`{event, job_id, timestamp, data}`. Raises `NotFound` if the job is gone, `Unavailable`."""
        if delivery.job_id is None:
            return _body(delivery.event, None, delivery.created_at, delivery.data or {})
        job = await self._ended_job(delivery.owner, delivery.job_id)
        data = {
            "status": job.state.status,
            "output": await self.outputs.output_or_preview(job),
            "metrics": used(job),
            "error": None if job.error is None else job.error.model_dump(mode="json"),
            **(delivery.data or {}),
        }
        if (session_id := job.labels.get(JobLabel.SESSION_ID)) is not None:
            data["session_id"] = session_id
        # The closed history may correct the end that the workflow reported.
        event = corrected(delivery.event, job.state, job.subject)
        return _body(event, job.id, job.closed_at or delivery.created_at, data)

    async def _ended_job(self, owner: str, job_id: str) -> Job:
        """The job once Temporal has closed it, which is a moment after the workflow reported its end."""
        reader = Principal(id=owner, scopes=frozenset())
        job = await self.reader.get(reader, job_id)
        if not job.state.terminal:
            job = await self.follower.until_end(reader, job_id, _JOB_END_TIMEOUT_SECONDS)
        if not job.state.terminal:
            raise Unavailable("The job has not ended yet", job_id=job_id, retry_after=_JOB_END_TIMEOUT_SECONDS)
        return job


def _body(event: str, job_id: str | None, at: datetime, data: dict[str, Any]) -> dict[str, Any]:
    return {"event": str(event), "job_id": job_id, "timestamp": stamp(at), "data": data}
