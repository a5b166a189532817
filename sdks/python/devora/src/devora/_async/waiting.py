"""Waits for the end of a job, through restarts of the server."""

from __future__ import annotations

from typing import Final, Unpack

from devora._async import runtime
from devora._async.resource import read
from devora._async.transport import AsyncTransport, Request, refuse_empty
from devora._config import WaitOptions, log
from devora._retries import RETRIED_STATUSES, Backoff
from devora.errors import APIConnectionError, DevoraError, JobTimeoutError
from devora.models import JobDetail

_MAX_LOOK: Final = 30
# The server answers after 30 seconds; a connection that is silent for much longer is dead.
_MAX_SILENCE: Final = 45.0


async def wait_for(
    transport: AsyncTransport, job_id: str, timeout: float | None, **options: Unpack[WaitOptions]
) -> JobDetail:
    """Return the job after its end. Raises `JobTimeoutError` after `timeout` seconds, or a permanent error."""
    path = f"/jobs/{refuse_empty('job_id', job_id)}"
    headers = options.get("headers", {})
    request = Request(
        transport.config, "GET", path, default_timeout=timeout, attempt_timeout=_MAX_SILENCE, headers=headers
    )
    request.max_retries = 0
    deadline, backoff = request.deadline, Backoff(transport.config.backoff)
    while True:
        remaining = deadline.remaining(_MAX_LOOK)
        # A little less than the remaining time, so that the answer comes in time.
        request.query = {"wait": f"{max(0.0, (remaining or 0.0) * 0.9):.3f}", "until": "end"}
        pause = 0.0
        try:
            job = read(JobDetail, await transport.send(request))
            if job.ended:
                return job
            backoff.reset()
        except DevoraError as fault:
            if not _passes(fault):
                raise
            log.info("waiting for %s goes on (%s)", job_id, fault.code or type(fault).__name__)
            pause = max(fault.retry_after or 0.0, backoff.next())
            if fault.retry_after is not None and not deadline.allows(pause):
                raise
        if not deadline.allows(pause):
            raise JobTimeoutError(f"Job {job_id} has not ended within {timeout:g} seconds; it continues", job_id=job_id)
        await runtime.sleep(pause)


def _passes(fault: DevoraError) -> bool:
    """Return whether the error may be temporary: the server restarts, or a limit is reached."""
    if isinstance(fault, APIConnectionError):
        return fault.retryable
    return fault.status in RETRIED_STATUSES
