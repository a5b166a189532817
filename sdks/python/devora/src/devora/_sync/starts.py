"""Starts jobs, and waits for them if the caller needs the result."""

from __future__ import annotations

from typing import Any, Final, TypedDict, Unpack

from devora._config import CallOptions
from devora._results import result_of
from devora._sync.handles import Job
from devora._sync.resource import Resource, read
from devora._sync.transport import Request
from devora._sync.waiting import read_job, wait_for
from devora.errors import DevoraError
from devora.models import ENDED, Accepted, JobDetail, Result

BLOCKING_TIMEOUT: Final = 600.0
# The server gives up a synchronous wait after 120 seconds by default.
_MAX_SILENCE: Final = 150.0


class ConfigOptions(TypedDict, total=False):
    """Settings that a start may override."""

    model: str
    temperature: float
    max_tokens: int
    parallel_execution: bool
    stop_on_error: bool


class Starts(Resource):
    """Starts jobs. A start carries one idempotency key, so that a lost answer never starts a second job."""

    def _start(self, path: str, body: dict[str, Any], **options: Unpack[CallOptions]) -> Job:
        """Start a job and return without waiting for its end."""
        accepted = self._call(Accepted, "POST", path, body={**body, "async": True}, **options)
        return Job(self._transport, accepted)

    def _run(self, path: str, body: dict[str, Any], **options: Unpack[CallOptions]) -> Result:
        """Start a job and wait for its end. Raises `JobFailed`, `JobCancelled`, `JobTimeoutError`."""
        request = Request(
            self._transport.config,
            "POST",
            path,
            body={**body, "async": False},
            default_timeout=BLOCKING_TIMEOUT,
            attempt_timeout=_MAX_SILENCE,
            **options,
        )
        request.persistent = True
        # If the connection broke before the end of the job, it would break again. So a retry starts the job, or finds
        # it by its key, and the call waits for it. A callback is allowed in asynchronous starts only.
        request.repeated_body = {**body, "async": True}
        request.repeated_body.pop("webhook_url", None)
        # A deadline within the server's own wait would cut that wait, and the id of the job with it.
        remaining = request.deadline.remaining()
        if remaining is not None and remaining <= _MAX_SILENCE:
            request.body = request.repeated_body
        try:
            response = self._transport.send(request)
        except DevoraError as fault:
            # The server's own wait ran out. The job continues, and so does this call.
            if fault.job_id is None or fault.status != 503:
                raise
            return result_of(self._continue(fault.job_id, request, options))
        job = read_job(response)
        if job.status == "completed":
            return read(Result, response)
        if job.status not in ENDED:
            # The server or a proxy answered before the end, though the request was to wait.
            job = self._continue(job.job_id, request, options)
        return result_of(job)

    def _continue(self, job_id: str, request: Request, options: CallOptions) -> JobDetail:
        """Wait for a job for the rest of the call's timeout."""
        headers = options.get("headers", {})
        return wait_for(self._transport, job_id, request.deadline, headers=headers)
