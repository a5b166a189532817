"""Waits for the end of a job, through restarts of the server."""

from __future__ import annotations

from typing import Final, Unpack

from devora._config import WaitOptions, log
from devora._retries import RETRIED_STATUSES, Backoff, Deadline
from devora._sync import runtime
from devora._sync.resource import read
from devora._sync.transport import Request, Transport, is_away, refuse_empty
from devora.errors import APIConnectionError, APIStatusError, DevoraError, JobTimeoutError
from devora.models import JobDetail

_MAX_LOOK: Final = 30
# The server answers after 30 seconds; a connection that is silent for much longer is dead.
_MAX_SILENCE: Final = 45.0


def wait_for(transport: Transport, job_id: str, timeout: float | None, **options: Unpack[WaitOptions]) -> JobDetail:
    """Return the job after its end. Raises `JobTimeoutError` after `timeout` seconds, or a permanent error."""
    path = f"/jobs/{refuse_empty('job_id', job_id)}"
    headers = options.get("headers", {})
    request = Request(
        transport.config, "GET", path, default_timeout=timeout, attempt_timeout=_MAX_SILENCE, headers=headers
    )
    faults_left = request.max_retries
    request.max_retries = 0
    deadline, backoff = request.deadline, Backoff(transport.config.backoff)
    while True:
        # A little less than the remaining time, so that the answer comes in time.
        wait = (deadline.remaining(_MAX_LOOK) or 0.0) * 0.9
        request.query = {"wait": f"{wait:.3f}", "until": "end"}
        pause, half = 0.0, Deadline(wait / 2)
        try:
            job = read(JobDetail, transport.send(request))
            if job.ended:
                return job
            backoff.reset()
            faults_left = transport.config.max_retries
            if half.remaining():
                pause = backoff.next()  # the server did not wait: no busy loop
        except DevoraError as fault:
            fault.job_id = job_id
            if not is_away(fault):
                faults_left -= 1
            if not _passes(fault) or faults_left < 0:
                raise
            log.info("waiting for %s goes on (%s)", job_id, fault.code or type(fault).__name__)
            pause = max(fault.retry_after or 0.0, backoff.next())
            if fault.retry_after and not deadline.allows(pause):
                raise
        if not deadline.allows(pause):
            raise JobTimeoutError(f"Job {job_id} has not ended within {timeout:g} seconds; it continues", job_id=job_id)
        runtime.sleep(pause)


def _passes(fault: DevoraError) -> bool:
    """Return whether the error may be temporary: the server restarts, or a limit is reached."""
    if isinstance(fault, APIConnectionError):
        return fault.retryable
    if isinstance(fault, APIStatusError) and fault.should_retry is not None:
        return fault.should_retry
    return fault.status in RETRIED_STATUSES
