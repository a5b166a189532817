"""Waits for the end of a job, through restarts of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Unpack

from devora._config import WaitOptions, log
from devora._retries import RETRIED_STATUSES, Backoff, Deadline
from devora._sync import runtime
from devora._sync.resource import read
from devora._sync.transport import Request, Transport, is_away, refuse_empty
from devora.errors import APIConnectionError, APIStatusError, DevoraError, JobTimeoutError, unexpected
from devora.models import JobDetail, Reason

if TYPE_CHECKING:
    from devora._responses import RawResponse

_MAX_LOOK: Final = 30
# The server answers after 30 seconds; a connection that is silent for much longer is dead.
_MAX_SILENCE: Final = 45.0


def wait_for(transport: Transport, job_id: str, deadline: Deadline, **options: Unpack[WaitOptions]) -> JobDetail:
    """Return the job after its end. Raises `JobTimeoutError` after the deadline, or a permanent error."""
    path = f"/jobs/{refuse_empty('job_id', job_id)}"
    headers = options.get("headers", {})
    request = Request(transport.config, "GET", path, attempt_timeout=_MAX_SILENCE, headers=headers)
    request.deadline = deadline
    faults_left = request.max_retries
    request.max_retries = 0
    backoff, reason = Backoff(transport.config.backoff), None
    while True:
        # A little less than the remaining time, so that the answer comes in time.
        wait = (deadline.remaining(_MAX_LOOK) or 0.0) * 0.9
        request.query = {"wait": f"{wait:.3f}", "until": "end"}
        pause, half = 0.0, Deadline(wait / 2)
        try:
            job = read_job(transport.send(request))
            reason = job.reason
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
            raise _timed_out(job_id, deadline, reason)
        runtime.sleep(pause)


def read_job(response: RawResponse) -> JobDetail:
    """Return the job of a response. Raises `DevoraError` if it is none, whose end would never come."""
    job = read(JobDetail, response)
    if not (isinstance(job.job_id, str) and isinstance(job.status, str)):
        raise unexpected("The answer has no job with its id and status; check the base URL", response)
    return job


def _timed_out(job_id: str, deadline: Deadline, reason: object) -> JobTimeoutError:
    """The error of a wait that ran out, with the reason why the job is open: it may wait for a person."""
    message = f"Job {job_id} has not ended within {deadline.seconds:g} seconds; it continues"
    if not isinstance(reason, Reason):
        return JobTimeoutError(message, job_id=job_id)
    return JobTimeoutError(f"{message} ({reason.message})", job_id=job_id, details={"reason": reason.to_dict()})


def _passes(fault: DevoraError) -> bool:
    """Return whether the error may be temporary: the server restarts, or a limit is reached."""
    if isinstance(fault, APIConnectionError):
        return fault.retryable
    if isinstance(fault, APIStatusError) and fault.should_retry is not None:
        return fault.should_retry
    return fault.status in RETRIED_STATUSES
