"""Returns the result of a job that has ended, or raises its error."""

from __future__ import annotations

from devora.errors import JobCancelled, JobFailed
from devora.models import JobDetail, Result


def result_of(job: JobDetail) -> Result:
    """The result of a job that has ended. Raises `JobFailed`, `JobCancelled`."""
    if job.status == "completed":
        return Result.from_wire(job.to_dict(), job.raw_response)
    kind = JobCancelled if job.status == "cancelled" else JobFailed
    reason = f": {job.error.message}" if job.error else ""
    word = {"CANCELLED": "was cancelled", "TIMEOUT": "ran out of time"}.get(str(job.state), "failed")
    raise kind(f"Job {job.job_id} {word}{reason}", job=job, error=job.error, request_id=job.request_id)
