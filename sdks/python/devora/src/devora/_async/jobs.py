"""Jobs: list them, look at one, wait, follow, control."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Unpack

from devora._async.pages import AsyncPage
from devora._async.resource import AsyncResource, not_none
from devora._async.streams import AsyncEventStream
from devora._async.transport import refuse_empty
from devora._async.waiting import wait_for
from devora._config import CallOptions, WaitOptions, Words
from devora._cursor import STALL_TIMEOUT
from devora._results import result_of
from devora._retries import Deadline
from devora.errors import DevoraError
from devora.models import (
    Accepted,
    AnswerResult,
    Controlled,
    Delivery,
    EventPage,
    JobDetail,
    JobSummary,
    Output,
    QuestionList,
    Result,
)


class AsyncJobs(AsyncResource):
    """Jobs: list them, look at one, wait, follow, control."""

    async def list(
        self,
        *,
        status: str | None = None,
        state: Words | None = None,
        agent_id: str | None = None,
        workflow_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        reason: Words | None = None,
        needs_attention: bool | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        owner: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        after: str | None = None,
        filters: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncPage[JobSummary]:
        """The caller's jobs, newest first. Iterate over the page to read all pages.

        `since` and `until` are aware times of creation; a job has to have all `labels`. `after` is `next` of an
        earlier page. `filters` are query parameters that have no argument here.
        """
        query = not_none(
            status=status,
            state=state,
            agent_id=agent_id,
            workflow_id=workflow_id,
            label=[f"{name}:{value}" for name, value in labels.items()] if labels else None,
            reason=reason,
            needs_attention=needs_attention,
            since=since,
            until=until,
            owner=owner,
            limit=limit,
            offset=offset,
            after=after,
        )
        return await self._page(JobSummary, "jobs", "/jobs", {**query, **(filters or {})}, **options)

    async def get(self, job_id: str, **options: Unpack[CallOptions]) -> JobDetail:
        """Return the job in full: state, reason and result."""
        return await self._call(JobDetail, "GET", _path(job_id), **options)

    async def wait(self, job_id: str, timeout: float | None = None, **options: Unpack[WaitOptions]) -> Result:
        """The result of a job, once it has ended; restarts of the server do not matter.

        Raises `JobFailed` or `JobCancelled`, and `JobTimeoutError` after `timeout` seconds: the job goes on.
        """
        job = await wait_for(self._transport, job_id, Deadline(timeout), **options)
        return result_of(job)

    async def result(self, job_id: str, **options: Unpack[CallOptions]) -> Result:
        """The result of a job that has ended. Raises `JobFailed`, `JobCancelled`; `DevoraError` for an open one."""
        job = await self.get(job_id, **options)
        if not job.ended:
            raise DevoraError(
                f"Job {job_id} has not ended: it is {job.status}. Wait for it with wait()",
                code="not_ended",
                job_id=job_id,
                request_id=job.request_id,
            )
        return result_of(job)

    async def output(self, job_id: str, **options: Unpack[CallOptions]) -> Output:
        """Return the complete output; for a failed job the answers of its finished calls."""
        return await self._call(Output, "GET", f"{_path(job_id)}/output", **options)

    def stream(
        self,
        job_id: str,
        *,
        after: str | None = None,
        deltas: bool = False,
        stall_timeout: float = STALL_TIMEOUT,
        **options: Unpack[CallOptions],
    ) -> AsyncEventStream:
        """The events of a job as they happen, to the last. `after` is the cursor of the last event seen, `now` skips
        the past; `deltas` adds the text of running agents."""
        return AsyncEventStream(
            self._transport,
            f"{_path(job_id)}/events",
            job_id,
            after=after,
            deltas=deltas,
            stall_timeout=stall_timeout,
            options=options,
        )

    async def events(
        self, job_id: str, *, after: str | None = None, limit: int | None = None, **options: Unpack[CallOptions]
    ) -> EventPage:
        """One page of the events so far. Continue with `after=page.next`."""
        query = {"after": after, "limit": limit}
        return await self._call(EventPage, "GET", f"{_path(job_id)}/events", query=query, **options)

    async def cancel(self, job_id: str, *, reason: str | None = None, **options: Unpack[CallOptions]) -> Controlled:
        """Cancel an open job. `done` is False while that is not yet in force."""
        return await self._control(job_id, "cancel", not_none(reason=reason), options)

    async def pause(self, job_id: str, *, note: str | None = None, **options: Unpack[CallOptions]) -> Controlled:
        """Pause a job: no new call starts, and running calls finish."""
        return await self._control(job_id, "pause", not_none(note=note), options)

    async def resume(self, job_id: str, *, note: str | None = None, **options: Unpack[CallOptions]) -> Controlled:
        """Resume a paused job."""
        return await self._control(job_id, "resume", not_none(note=note), options)

    async def approve(
        self, job_id: str, *, step: str | None = None, note: str | None = None, **options: Unpack[CallOptions]
    ) -> Controlled:
        """Approve a step that waits for approval. `step` may be left out if only one waits."""
        return await self._control(job_id, "approve", not_none(step=step, note=note), options)

    async def reject(
        self, job_id: str, *, step: str | None = None, note: str | None = None, **options: Unpack[CallOptions]
    ) -> Controlled:
        """Reject a step that waits for approval; it fails."""
        return await self._control(job_id, "reject", not_none(step=step, note=note), options)

    async def questions(self, job_id: str, **options: Unpack[CallOptions]) -> QuestionList:
        """List the questions of a job to people, oldest first."""
        return await self._call(QuestionList, "GET", f"{_path(job_id)}/questions", **options)

    async def answer(
        self,
        job_id: str,
        step: str,
        values: Mapping[str, Any],
        *,
        note: str | None = None,
        **options: Unpack[CallOptions],
    ) -> AnswerResult:
        """Answer a question; `step` is its id. The same answer again changes nothing, another one is a
        `ConflictError`."""
        body = {"step": step, "values": values, **not_none(note=note)}
        return await self._call(AnswerResult, "POST", f"{_path(job_id)}/answers", body=body, **options)

    async def signal(self, job_id: str, name: str, input: Any = None, **options: Unpack[CallOptions]) -> Controlled:
        """Send a signal that the workflow of the job declares."""
        path = f"{_path(job_id)}/signals/{refuse_empty('name', name)}"
        return await self._call(Controlled, "POST", path, body={"input": input}, **options)

    async def retry(self, job_id: str, **options: Unpack[CallOptions]) -> Accepted:
        """Start a job that finishes a failed one: finished calls are reused."""
        return await self._call(Accepted, "POST", f"{_path(job_id)}/retry", body={}, **options)

    async def deliveries(
        self,
        job_id: str,
        *,
        limit: int | None = None,
        offset: int | None = None,
        after: str | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncPage[Delivery]:
        """Return the webhook deliveries for the end of a job."""
        query = not_none(limit=limit, offset=offset, after=after)
        return await self._page(Delivery, "deliveries", f"{_path(job_id)}/deliveries", query, **options)

    async def _control(self, job_id: str, verb: str, body: dict[str, Any], options: CallOptions) -> Controlled:
        return await self._call(Controlled, "POST", f"{_path(job_id)}/{verb}", body=body, **options)


def _path(job_id: str) -> str:
    return f"/jobs/{refuse_empty('job_id', job_id)}"
