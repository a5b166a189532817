"""A job that was started: wait for it, follow it, control it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from devora._config import CallOptions, WaitOptions
from devora._cursor import STALL_TIMEOUT
from devora._sync.jobs import Jobs
from devora._sync.streams import EventStream
from devora._sync.transport import Transport
from devora.models import Accepted, AnswerResult, Controlled, EventPage, JobDetail, QuestionList, Result


class Job:
    """A job that was started. `accepted` is what the server answered to the start."""

    def __init__(self, transport: Transport, accepted: Accepted) -> None:
        self._transport = transport
        self._jobs = Jobs(transport)
        self.accepted = accepted

    @property
    def id(self) -> str:
        """The id of the job."""
        return self.accepted.job_id

    @property
    def job_id(self) -> str:
        """The id of the job."""
        return self.accepted.job_id

    @property
    def request_id(self) -> str | None:
        """The id of the request that started it."""
        return self.accepted.request_id

    def wait(self, timeout: float | None = None, **options: Unpack[WaitOptions]) -> Result:
        """The result, once the job has ended; restarts of the server do not matter.

        Raises `JobFailed` or `JobCancelled`, and `JobTimeoutError` after `timeout` seconds: the job goes on.
        """
        return self._jobs.wait(self.id, timeout, **options)

    def is_complete(self, **options: Unpack[CallOptions]) -> bool:
        """Return whether the job has ended, in any state."""
        return (self.get_status(**options)).ended

    def get_status(self, **options: Unpack[CallOptions]) -> JobDetail:
        """Return the job with its state; `progress` is percent."""
        return self._jobs.get(self.id, **options)

    def get_result(self, **options: Unpack[CallOptions]) -> Result:
        """Return the result of a job that has ended. Raises `JobFailed`, `JobCancelled`."""
        return self._jobs.result(self.id, **options)

    def stream(
        self,
        *,
        after: str | None = None,
        deltas: bool = False,
        stall_timeout: float = STALL_TIMEOUT,
        **options: Unpack[CallOptions],
    ) -> EventStream:
        """The events of the job as they happen, to the last."""
        return self._jobs.stream(self.id, after=after, deltas=deltas, stall_timeout=stall_timeout, **options)

    def events(
        self, *, after: str | None = None, limit: int | None = None, **options: Unpack[CallOptions]
    ) -> EventPage:
        """One page of the events so far."""
        return self._jobs.events(self.id, after=after, limit=limit, **options)

    def cancel(self, *, reason: str | None = None, **options: Unpack[CallOptions]) -> Controlled:
        """Cancel the job."""
        return self._jobs.cancel(self.id, reason=reason, **options)

    def pause(self, *, note: str | None = None, **options: Unpack[CallOptions]) -> Controlled:
        """Pause the job: no new call starts, and running calls finish."""
        return self._jobs.pause(self.id, note=note, **options)

    def resume(self, *, note: str | None = None, **options: Unpack[CallOptions]) -> Controlled:
        """Resume a paused job."""
        return self._jobs.resume(self.id, note=note, **options)

    def approve(
        self, *, step: str | None = None, note: str | None = None, **options: Unpack[CallOptions]
    ) -> Controlled:
        """Approve a step that waits for approval; it runs."""
        return self._jobs.approve(self.id, step=step, note=note, **options)

    def reject(self, *, step: str | None = None, note: str | None = None, **options: Unpack[CallOptions]) -> Controlled:
        """Reject a step that waits for approval; it fails."""
        return self._jobs.reject(self.id, step=step, note=note, **options)

    def questions(self, **options: Unpack[CallOptions]) -> QuestionList:
        """List the questions of the job to people, oldest first."""
        return self._jobs.questions(self.id, **options)

    def answer(
        self, step: str, values: Mapping[str, Any], *, note: str | None = None, **options: Unpack[CallOptions]
    ) -> AnswerResult:
        """Answer a question; `step` is its id."""
        return self._jobs.answer(self.id, step, values, note=note, **options)

    def signal(self, name: str, input: Any = None, **options: Unpack[CallOptions]) -> Controlled:
        """Send a signal that the workflow of the job declares."""
        return self._jobs.signal(self.id, name, input, **options)

    def retry(self, **options: Unpack[CallOptions]) -> Job:
        """Start a job that finishes this one, which failed."""
        return Job(self._transport, self._jobs.retry(self.id, **options))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"
