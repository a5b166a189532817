"""What came of a job: its result, or the error that says why there is none."""

from __future__ import annotations

from devora.errors import JobCancelled, JobFailed
from devora.models import JobDetail, Result


def result_of(job: JobDetail) -> Result:
    """The result of a job that has ended. Raises `JobFailed`, `JobCancelled`."""
    if job.status == "completed":
        return Result.from_wire(job.to_dict(), job.raw_response)
    kind = JobCancelled if job.status == "cancelled" else JobFailed
    why = f": {job.error.message}" if job.error else ""
    word = {"CANCELLED": "was cancelled", "TIMEOUT": "ran out of time"}.get(job.state or "", "failed")
    raise kind(f"Job {job.job_id} {word}{why}", job=job, error=job.error, request_id=job.request_id)
