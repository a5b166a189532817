"""A job in full, with its stored output and its retries."""

from api.outputs import whole_output
from api.v1.models import JobDetail
from api.v1.rendering import job_detail
from orchestrator.domain.jobs import Job
from orchestrator.services.container import Services


async def whole_detail(services: Services, job: Job, *, with_output: bool = True) -> JobDetail:
    """Return the job with its whole output, or without an output, and with its retries."""
    output = await whole_output(services, job) if with_output else None
    retried_by = await services.retrier.retried_by(job.id) if job.state.retryable else ()
    return job_detail(job, output, services.run_page(job.id), retried_by)
