"""A job that was started: wait for it, follow it, control it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from devora._async.jobs import AsyncJobs
from devora._async.streams import AsyncEventStream
from devora._async.transport import AsyncTransport
from devora._config import CallOptions, WaitOptions
from devora._cursor import STALL_TIMEOUT
from devora.models import Accepted, AnswerResult, Controlled, EventPage, JobDetail, QuestionList, Result


class AsyncJob:
    """A job that was started. `accepted` is what the server answered to the start."""

    def __init__(self, transport: AsyncTransport, accepted: Accepted) -> None:
        self._transport = transport
        self._jobs = AsyncJobs(transport)
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

    async def wait(self, timeout: float | None = None, **options: Unpack[WaitOptions]) -> Result:
        """The result, once the job has ended; restarts of the server do not matter.

        Raises `JobFailed` or `JobCancelled`, and `JobTimeoutError` after `timeout` seconds: the job goes on.
        """
        return await self._jobs.wait(self.id, timeout, **options)

    async def is_complete(self, **options: Unpack[CallOptions]) -> bool:
        """Return whether the job has ended, in any state."""
        return (await self.get_status(**options)).ended

    async def get_status(self, **options: Unpack[CallOptions]) -> JobDetail:
        """Return the job with its state; `progress` is percent."""
        return await self._jobs.get(self.id, **options)

    async def get_result(self, **options: Unpack[CallOptions]) -> Result:
        """Return the result of a job that has ended. Raises `JobFailed`, `JobCancelled`."""
        return await self._jobs.result(self.id, **options)

    def stream(
        self,
        *,
        after: str | None = None,
        deltas: bool = False,
        stall_timeout: float = STALL_TIMEOUT,
        **options: Unpack[CallOptions],
    ) -> AsyncEventStream:
        """The events of the job as they happen, to the last."""
        return self._jobs.stream(self.id, after=after, deltas=deltas, stall_timeout=stall_timeout, **options)

    async def events(
        self, *, after: str | None = None, limit: int | None = None, **options: Unpack[CallOptions]
    ) -> EventPage:
        """One page of the events so far."""
        return await self._jobs.events(self.id, after=after, limit=limit, **options)

    async def cancel(self, *, reason: str | None = None, **options: Unpack[CallOptions]) -> Controlled:
        """Cancel the job."""
        return await self._jobs.cancel(self.id, reason=reason, **options)

    async def pause(self, *, note: str | None = None, **options: Unpack[CallOptions]) -> Controlled:
        """Pause the job: no new call starts, and running calls finish."""
        return await self._jobs.pause(self.id, note=note, **options)

    async def resume(self, *, note: str | None = None, **options: Unpack[CallOptions]) -> Controlled:
        """Resume a paused job."""
        return await self._jobs.resume(self.id, note=note, **options)

    async def approve(
        self, *, step: str | None = None, note: str | None = None, **options: Unpack[CallOptions]
    ) -> Controlled:
        """Approve a step that waits for approval; it runs."""
        return await self._jobs.approve(self.id, step=step, note=note, **options)

    async def reject(
        self, *, step: str | None = None, note: str | None = None, **options: Unpack[CallOptions]
    ) -> Controlled:
        """Reject a step that waits for approval; it fails."""
        return await self._jobs.reject(self.id, step=step, note=note, **options)

    async def questions(self, **options: Unpack[CallOptions]) -> QuestionList:
        """List the questions of the job to people, oldest first."""
        return await self._jobs.questions(self.id, **options)

    async def answer(
        self, step: str, values: Mapping[str, Any], *, note: str | None = None, **options: Unpack[CallOptions]
    ) -> AnswerResult:
        """Answer a question; `step` is its id."""
        return await self._jobs.answer(self.id, step, values, note=note, **options)

    async def signal(self, name: str, input: Any = None, **options: Unpack[CallOptions]) -> Controlled:
        """Send a signal that the workflow of the job declares."""
        return await self._jobs.signal(self.id, name, input, **options)

    async def retry(self, **options: Unpack[CallOptions]) -> AsyncJob:
        """Start a job that finishes this one, which failed."""
        return AsyncJob(self._transport, await self._jobs.retry(self.id, **options))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"
