"""The output of a job, as every surface shows it."""

from typing import Any

import structlog

from orchestrator.domain.errors import Unavailable
from orchestrator.domain.jobs import Job
from orchestrator.services.container import Services

log = structlog.get_logger(__name__)


async def whole_output(services: Services, job: Job) -> dict[str, Any] | None:
    """Return the job's output with its stored parts, or without those that cannot be read now; None without output."""
    try:
        return await services.outputs.output_or_preview(job)
    except Unavailable as fault:
        log.warning("output_not_whole", job_id=job.id, error=fault.message)
        return job.result
