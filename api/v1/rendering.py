"""Pure mapping from jobs to the bodies of the native API."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from api.v1.models import (
    AgentAccepted,
    AgentRetried,
    AttemptBody,
    CallBody,
    Cancelled,
    Controlled,
    DeltaBody,
    DeltaData,
    EventBody,
    Finished,
    JobDetail,
    JobList,
    JobSummary,
    ListedError,
    Metrics,
    ReasonBody,
    SeenReason,
    StepProgress,
    StepStatus,
    ToolCallBody,
    WorkflowAccepted,
    WorkflowFinished,
    WorkflowRetried,
)
from api.v1.question_bodies import question_body
from api.v1.wire import Links
from orchestrator.domain.commands import Retry
from orchestrator.domain.deltas import Delta, DeltaKind
from orchestrator.domain.events import EventType, JobEvent
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import AgentCall, CallStatus, Job, JobState, JobStatus, Reason
from orchestrator.domain.plans import WorkflowDefinition
from orchestrator.domain.text import headline
from orchestrator.domain.usage import Usage
from orchestrator.services.jobs.native_fields import reused, used
from orchestrator.services.jobs.reader import JobPage
from orchestrator.services.jobs.reasons import NotedReason
from orchestrator.services.jobs.start import Started


def job_detail(
    job: Job, output: dict[str, Any] | None, run_page: str, retried_by: Sequence[str] | None = ()
) -> JobDetail:
    """Return the job in full. `output` is its whole output or None, `run_page` its page in the Temporal UI."""
    return JobDetail(
        **_target(job.kind, job.definition),
        job_id=job.id,
        type=job.kind,
        name=job.name,
        status=job.state.status,
        state=job.state,
        reason=reason_body(job.reason),
        progress=job.progress if job.exact else None,
        calls_done=job.calls_done,
        calls_running=job.calls_running,
        calls_known=max(len(job.calls), job.expected_calls),
        input=job.input,
        config=job.config,
        output=output,
        error=job.error,
        metrics=metrics(job),
        steps=[call_body(call) for call in job.calls],
        questions=[question_body(question) for question in job.questions],
        labels=job.labels,
        children=[call.child for call in job.calls if call.child is not None],
        retry_of=job.retry_of,
        retried_by=None if retried_by is None else list(retried_by),
        webhook_url=job.webhook_url,
        created_at=job.created_at,
        started_at=job.started_at,
        completed_at=job.closed_at,
        cancelled_at=_cancelled_at(job),
        run_page=run_page,
        links=Links.of(job.id),
    )


def job_list(page: JobPage, *, limit: int, offset: int, next: str | None, has_more: bool) -> JobList:
    """Return one page."""
    jobs = [
        JobSummary(
            **_target(row.kind, row.definition),
            job_id=row.id,
            type=row.kind,
            name=row.name,
            owner=row.owner,
            status=row.state.status,
            state=row.state,
            progress=row.progress if row.exact else None,
            reason=_seen_reason(page.reason(row)),
            error=row.error and ListedError(type=row.error.type, message=headline(row.error.message)),
            retry_of=row.retry_of,
            retried_by=list(page.retried_by.get(row.id, ())),
            created_at=row.created_at,
            started_at=row.started_at,
            completed_at=row.closed_at,
            links=Links.of(row.id),
        )
        for row in page.rows
    ]
    return JobList(jobs=jobs, total=page.total, limit=limit, offset=offset, next=next, has_more=has_more)


def agent_accepted(started: Started, job: Job | None, eta_seconds: int) -> AgentAccepted:
    """Return the answer to an asynchronous start of an agent. `job` is None if it could not be read."""
    return AgentAccepted(
        job_id=started.job_id,
        status=job.state.status if job else JobStatus.QUEUED,
        agent_id=started.definition,
        created_at=started.created_at,
        eta_seconds=_remaining(job, eta_seconds),
        webhook_url=started.webhook_url,
        links=Links.of(started.job_id),
    )


def workflow_accepted(
    started: Started, job: Job | None, definition: WorkflowDefinition, eta_seconds: int
) -> WorkflowAccepted:
    """Return the answer to an asynchronous start of a workflow. `job` is None if it could not be read."""
    return WorkflowAccepted(
        job_id=started.job_id,
        workflow_id=started.definition,
        status=job.state.status if job else JobStatus.QUEUED,
        progress=step_progress(job, len(definition.plan.steps)),
        steps_status=step_statuses(job) if job else [],
        created_at=started.created_at,
        eta_seconds=_remaining(job, eta_seconds),
        webhook_url=started.webhook_url,
        links=Links.of(started.job_id),
    )


def retried(accepted: AgentAccepted | WorkflowAccepted, retry: Retry) -> AgentRetried | WorkflowRetried:
    """Return the answer to a retry: the answer to an asynchronous start, and what the retry reuses."""
    fields = dict(accepted)
    if isinstance(accepted, AgentAccepted):
        return AgentRetried(**fields, retry_of=retry.of)
    usage = Usage.total(call.usage for call in retry.calls)
    return WorkflowRetried(
        **fields,
        retry_of=retry.of,
        reused_calls=len(retry.calls),
        reused_tokens=usage.total_tokens,
        reused_cost=usage.cost,
    )


def agent_finished(job: Job, output: dict[str, Any] | None) -> Finished:
    """Return the answer to a synchronous run of an agent."""
    return Finished(**_finished(job, output))


def workflow_finished(job: Job, output: dict[str, Any] | None, definition: WorkflowDefinition) -> WorkflowFinished:
    """Return the answer to a synchronous run of a workflow."""
    progress = step_progress(job, len(definition.plan.steps))
    return WorkflowFinished(**_finished(job, output), progress=progress, steps_status=step_statuses(job))


def cancelled(job: Job, *, done: bool) -> Cancelled:
    """Return the answer to a cancellation."""
    return Cancelled(**_controlled(job, done=done), cancelled_at=_cancelled_at(job))


def controlled(job: Job, *, done: bool) -> Controlled:
    """Return the answer to any other control."""
    return Controlled(**_controlled(job, done=done))


def event_body(event: JobEvent) -> EventBody:
    """Return the body of one event."""
    return EventBody(
        id=event.id,
        type=event.type,
        name=event.name,
        job_id=event.job_id,
        status=event.state.status,
        state=event.state,
        progress=event.progress if event.exact else None,
        current_step=event.current_step,
        message=event.message,
        timestamp=event.timestamp,
        data=event.data,
    )


def delta_body(delta: Delta) -> DeltaBody:
    """Return a piece of a running agent's text, with the current time."""
    data = DeltaData(
        step=delta.step,
        agent=delta.agent,
        call=delta.call,
        key=delta.key,
        attempt=delta.attempt,
        index=delta.index,
        text=delta.text,
    )
    return DeltaBody(
        type=EventType.AGENT_EVENT,
        name="agent.reset" if delta.kind is DeltaKind.RESET else "agent.delta",
        job_id=delta.job_id,
        status=JobStatus.RUNNING,
        current_step=delta.step,
        timestamp=datetime.now(UTC),
        data=data,
    )


def metrics(job: Job) -> Metrics:
    """Return the usage of a job."""
    return Metrics(**used(job), **reused(job))


def step_progress(job: Job | None, planned: int) -> StepProgress:
    """Return the completed steps (D-041). `planned` is the total for a job without steps yet.

    While a plan may have calls that are not known yet, the percentage is the job's own.
    """
    steps = job.steps() if job else {}
    total = len(steps) or planned
    done = sum(_step_status(calls) is JobStatus.COMPLETED for calls in steps.values())
    percentage = 100 * done // max(1, total)
    if job is not None and not job.exact and not job.state.terminal:
        percentage = min(percentage, job.progress)
    return StepProgress(current_step=done, total_steps=total, percentage=percentage)


def step_statuses(job: Job) -> list[StepStatus]:
    """Return every step that has started, in the plan's order (D-042)."""
    statuses = []
    for step, calls in job.steps().items():
        moments = [moment for call in calls if (moment := call.started_at or call.scheduled_at)]
        if not moments:
            continue
        status = _step_status(calls)
        statuses.append(
            StepStatus(
                step=step,
                status=status,
                started_at=min(moments),
                completed_at=None if status.open else _last_end(calls),
            )
        )
    return statuses


def _step_status(calls: Sequence[AgentCall]) -> JobStatus:
    statuses = {call.status for call in calls}
    if statuses == {CallStatus.COMPLETED}:
        return JobStatus.COMPLETED
    if not all(status.ended for status in statuses):
        return JobStatus.RUNNING if any(status.begun for status in statuses) else JobStatus.QUEUED
    return JobStatus.FAILED if CallStatus.FAILED in statuses else JobStatus.CANCELLED


def _last_end(calls: Sequence[AgentCall]) -> datetime | None:
    return max((call.completed_at for call in calls if call.completed_at), default=None)


def call_body(call: AgentCall) -> CallBody:
    """Return one agent call. A reused call has the usage of the earlier job that made it."""
    usage = call.reused if call.reused_from else call.usage
    attempts = [
        AttemptBody(
            number=attempt.number,
            status=attempt.status,
            started_at=attempt.started_at,
            completed_at=attempt.completed_at,
            error=attempt.error,
        )
        for attempt in call.attempts
    ]
    return CallBody(
        step=call.step,
        agent=call.agent,
        call=call.number,
        key=call.key,
        why=call.why,
        title=call.title,
        status=call.status,
        attempts=attempts,
        tokens=usage.total_tokens,
        cost=usage.cost,
        duration=_seconds(call.duration),
        model=call.model,
        error=call.error,
        reused=call.reused_from is not None,
        reused_from=call.reused_from,
        child=call.child,
        turns=call.turns,
        max_turns=call.max_turns,
        tool_calls=[ToolCallBody(**dict(tool)) for tool in call.tool_calls],
    )


def reason_body(reason: Reason | None) -> ReasonBody | None:
    """Return the reason of an open job's state."""
    return None if reason is None else ReasonBody(**dict(reason), input_schema=reason.form)


def _seen_reason(reason: NotedReason | None) -> SeenReason | None:
    return None if reason is None else SeenReason(**asdict(reason))


def _finished(job: Job, output: dict[str, Any] | None) -> dict[str, Any]:
    return {
        **_target(job.kind, job.definition),
        "job_id": job.id,
        "status": job.state.status,
        "output": output,
        "error": job.error,
        "metrics": metrics(job),
        "created_at": job.created_at,
        "completed_at": job.closed_at,
        "links": Links.of(job.id),
    }


def _controlled(job: Job, *, done: bool) -> dict[str, Any]:
    return {
        "job_id": job.id,
        "status": job.state.status,
        "state": job.state,
        "done": done,
        "reason": reason_body(job.reason),
        "links": Links.of(job.id),
    }


def _remaining(job: Job | None, eta_seconds: int) -> int:
    """Return the expected seconds until the end, 0 for an ended job."""
    return 0 if job and job.state.terminal else eta_seconds


def _target(kind: JobKind, definition: str) -> dict[str, str]:
    return {"agent_id" if kind is JobKind.AGENT else "workflow_id": definition}


def _cancelled_at(job: Job) -> datetime | None:
    return job.closed_at if job.state is JobState.CANCELLED else None


def _seconds(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
