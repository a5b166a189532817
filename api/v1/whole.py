"""A job in full, with what has to be looked up beside it."""

from api.outputs import whole_output
from api.v1.models import JobDetail
from api.v1.rendering import job_detail
from orchestrator.domain.jobs import Job
from orchestrator.services.container import Services


async def whole_detail(services: Services, job: Job) -> JobDetail:
    """The job with its whole output and the jobs that were started to finish it."""
    output = await whole_output(services, job)
    retried_by = await services.retrier.retried_by(job.id) if job.state.retryable else ()
    return job_detail(job, output, services.run_page(job.id), retried_by)
