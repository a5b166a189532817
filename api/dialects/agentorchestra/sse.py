"""The streams of this surface: one execution, and the caller's dashboard (C-50, O-026, O-043)."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import Final

from api.dialects.agentorchestra import dashboard, mapping
from api.dialects.agentorchestra.errors import body_of
from api.dialects.agentorchestra.models import Wire
from api.outputs import whole_output
from api.streaming import frame
from orchestrator.domain.access import Principal
from orchestrator.domain.errors import OrchestratorError, Unauthenticated
from orchestrator.domain.events import EventType, JobEvent
from orchestrator.domain.jobs import Job, JobState
from orchestrator.services.container import Services
from orchestrator.services.user_agents.executions import ExecutionFilter

POLL_SECONDS: Final = 2.0
_WATCHED: Final = 50


async def execution_frames(
    services: Services, principal: Principal, job: Job, past: Sequence[JobEvent], start: int
) -> AsyncGenerator[bytes, None]:
    """Yield `status` first, as it was after `start` events. Then for each later event `log`, and with it `status`,
    `progress`, `completed` or `error`. The last frame of an event has its cursor, so that a client that reconnects
    with it misses no frame."""
    last = past[max(start - 1, 0)] if past else None
    try:
        yield _frame("status", mapping.execution(job) if last is None else mapping.progress(job, last))
        for line in mapping.fallback_logs(job) if not start else ():
            yield _frame("log", line)
        state = last.state if last is not None else job.state
        after = past[start - 1].id if start else None
        del past  # A stream may stay open for hours.
        async with aclosing(services.watcher.watch(principal, job.id, after, deltas=False)) as items:
            async for event in items:
                if not isinstance(event, JobEvent):
                    continue
                if event.type.terminal:
                    yield _frame("log", mapping.log_line(event))
                    yield await _end(services, principal, event)
                    return
                for event_frame in _event_frames(job, event, changed=event.state is not state):
                    yield event_frame
                state = event.state
    except OrchestratorError as fault:
        # The status is already sent. The reader gets the error as a frame and reconnects with its cursor.
        yield _frame("error", body_of(fault))


def _event_frames(job: Job, event: JobEvent, *, changed: bool) -> Iterator[bytes]:
    line = mapping.log_line(event)
    kind = "status" if changed else "progress" if event.type is EventType.JOB_PROGRESS else None
    if kind is None:
        yield _frame("log", line, event.id)
        return
    yield _frame("log", line)
    yield _frame(kind, mapping.progress(job, event), event.id)


async def _end(services: Services, principal: Principal, event: JobEvent) -> bytes:
    job = await services.reader.get(principal, event.job_id)
    kind = "completed" if event.type is EventType.JOB_COMPLETED else "error"
    return _frame(kind, mapping.execution(job, await whole_output(services, job)), event.id)


async def dashboard_frames(services: Services, principal: Principal) -> AsyncGenerator[bytes, None]:
    """Yield `metrics`, the dashboard of the last 24 hours, then `execution` for each new or changed execution, and
    `metrics` again after them. Ends when the caller's credential becomes invalid."""
    before: dict[str, tuple[JobState, int]] | None = None
    try:
        while True:
            page = await services.executions.list(principal, ExecutionFilter(limit=_WATCHED))
            now = {job.id: (job.state, job.progress) for job in page.rows}
            changed = [job for job in reversed(page.rows) if before is not None and before.get(job.id) != now[job.id]]
            for job in changed:
                yield _frame("execution", mapping.execution(job))
            if changed or before is None:
                figures = await services.executions.dashboard(principal, dashboard.LENGTHS["24h"])
                yield _frame("metrics", dashboard.metrics(figures, page.rows[: dashboard.RECENT]))
            before = now
            await asyncio.sleep(POLL_SECONDS)
            if not await services.access.still_valid(principal):
                raise Unauthenticated("The credential is no longer valid")
    except OrchestratorError as fault:
        yield _frame("error", body_of(fault))


def _frame(kind: str, body: Wire, cursor: str | None = None) -> bytes:
    return frame(kind, body.model_dump_json(by_alias=True, exclude_none=True), cursor)
