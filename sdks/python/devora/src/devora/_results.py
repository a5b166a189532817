"""Returns the result of a job that has ended, or raises its error."""

from __future__ import annotations

from devora.errors import JobCancelled, JobFailed
from devora.models import JobDetail, JobError, Result


def result_of(job: JobDetail) -> Result:
    """The result of a job that has ended. Raises `JobFailed`, `JobCancelled`."""
    if job.status == "completed":
        return Result.from_wire(job.to_dict(), job.raw_response)
    kind = JobCancelled if job.status == "cancelled" else JobFailed
    error = job.error if isinstance(job.error, JobError) else None
    reason = f": {error.message if error else job.error}" if job.error else ""
    word = {"CANCELLED": "was cancelled", "TIMEOUT": "ran out of time"}.get(str(job.state), "failed")
    raise kind(f"Job {job.job_id} {word}{reason}", job=job, error=error, request_id=job.request_id)
