"""Jobs: list them, look at one, wait, follow, control."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Unpack

from devora._config import CallOptions, WaitOptions, Words
from devora._cursor import STALL_TIMEOUT
from devora._results import result_of
from devora._retries import Deadline
from devora._sync.pages import Page
from devora._sync.resource import Resource, not_none
from devora._sync.streams import EventStream
from devora._sync.transport import refuse_empty
from devora._sync.waiting import wait_for
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


class Jobs(Resource):
    """Jobs: list them, look at one, wait, follow, control."""

    def list(
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
    ) -> Page[JobSummary]:
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
        return self._page(JobSummary, "jobs", "/jobs", {**query, **(filters or {})}, **options)

    def get(self, job_id: str, **options: Unpack[CallOptions]) -> JobDetail:
        """Return the job in full: state, reason and result."""
        return self._call(JobDetail, "GET", _path(job_id), **options)

    def wait(self, job_id: str, timeout: float | None = None, **options: Unpack[WaitOptions]) -> Result:
        """The result of a job, once it has ended; restarts of the server do not matter.

        Raises `JobFailed` or `JobCancelled`, and `JobTimeoutError` after `timeout` seconds: the job goes on.
        """
        job = wait_for(self._transport, job_id, Deadline(timeout), **options)
        return result_of(job)

    def result(self, job_id: str, **options: Unpack[CallOptions]) -> Result:
        """The result of a job that has ended. Raises `JobFailed`, `JobCancelled`; `DevoraError` for an open one."""
        job = self.get(job_id, **options)
        if not job.ended:
            raise DevoraError(
                f"Job {job_id} has not ended: it is {job.status}. Wait for it with wait()",
                code="not_ended",
                job_id=job_id,
                request_id=job.request_id,
            )
        return result_of(job)

    def output(self, job_id: str, **options: Unpack[CallOptions]) -> Output:
        """Return the complete output; for a failed job the answers of its finished calls."""
        return self._call(Output, "GET", f"{_path(job_id)}/output", **options)

    def stream(
        self,
        job_id: str,
        *,
        after: str | None = None,
        deltas: bool = False,
        stall_timeout: float = STALL_TIMEOUT,
        **options: Unpack[CallOptions],
    ) -> EventStream:
        """The events of a job as they happen, to the last. `after` is the cursor of the last event seen, `now` skips
        the past; `deltas` adds the text of running agents."""
        return EventStream(
            self._transport,
            f"{_path(job_id)}/events",
            job_id,
            after=after,
            deltas=deltas,
            stall_timeout=stall_timeout,
            options=options,
        )

    def events(
        self, job_id: str, *, after: str | None = None, limit: int | None = None, **options: Unpack[CallOptions]
    ) -> EventPage:
        """One page of the events so far. Continue with `after=page.next`."""
        query = {"after": after, "limit": limit}
        return self._call(EventPage, "GET", f"{_path(job_id)}/events", query=query, **options)

    def cancel(self, job_id: str, *, reason: str | None = None, **options: Unpack[CallOptions]) -> Controlled:
        """Cancel an open job. `done` is False while that is not yet in force."""
        return self._control(job_id, "cancel", not_none(reason=reason), options)

    def pause(self, job_id: str, *, note: str | None = None, **options: Unpack[CallOptions]) -> Controlled:
        """Pause a job: no new call starts, and running calls finish."""
        return self._control(job_id, "pause", not_none(note=note), options)

    def resume(self, job_id: str, *, note: str | None = None, **options: Unpack[CallOptions]) -> Controlled:
        """Resume a paused job."""
        return self._control(job_id, "resume", not_none(note=note), options)

    def approve(
        self, job_id: str, *, step: str | None = None, note: str | None = None, **options: Unpack[CallOptions]
    ) -> Controlled:
        """Approve a step that waits for approval. `step` may be left out if only one waits."""
        return self._control(job_id, "approve", not_none(step=step, note=note), options)

    def reject(
        self, job_id: str, *, step: str | None = None, note: str | None = None, **options: Unpack[CallOptions]
    ) -> Controlled:
        """Reject a step that waits for approval; it fails."""
        return self._control(job_id, "reject", not_none(step=step, note=note), options)

    def questions(self, job_id: str, **options: Unpack[CallOptions]) -> QuestionList:
        """List the questions of a job to people, oldest first."""
        return self._call(QuestionList, "GET", f"{_path(job_id)}/questions", **options)

    def answer(
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
        return self._call(AnswerResult, "POST", f"{_path(job_id)}/answers", body=body, **options)

    def signal(self, job_id: str, name: str, input: Any = None, **options: Unpack[CallOptions]) -> Controlled:
        """Send a signal that the workflow of the job declares."""
        path = f"{_path(job_id)}/signals/{refuse_empty('name', name)}"
        return self._call(Controlled, "POST", path, body={"input": input}, **options)

    def retry(self, job_id: str, **options: Unpack[CallOptions]) -> Accepted:
        """Start a job that finishes a failed one: finished calls are reused."""
        return self._call(Accepted, "POST", f"{_path(job_id)}/retry", body={}, **options)

    def deliveries(
        self,
        job_id: str,
        *,
        limit: int | None = None,
        offset: int | None = None,
        after: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Page[Delivery]:
        """Return the webhook deliveries for the end of a job."""
        query = not_none(limit=limit, offset=offset, after=after)
        return self._page(Delivery, "deliveries", f"{_path(job_id)}/deliveries", query, **options)

    def _control(self, job_id: str, verb: str, body: dict[str, Any], options: CallOptions) -> Controlled:
        return self._call(Controlled, "POST", f"{_path(job_id)}/{verb}", body=body, **options)


def _path(job_id: str) -> str:
    return f"/jobs/{refuse_empty('job_id', job_id)}"
