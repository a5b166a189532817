"""A job's events: a page of them, or a stream that starts with the job as it is (A6)."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from api.deps import JobId, Svc, api_state
from api.outputs import whole_output
from api.security import JobsRead
from api.streaming import EventStream, frame
from api.v1.envelope import ERRORS, NOT_FOUND, V1Route, envelope
from api.v1.models import EventBody, EventPage
from api.v1.rendering import delta_body, event_body
from api.v1.whole import whole_detail
from orchestrator.domain.access import Principal
from orchestrator.domain.deltas import Delta
from orchestrator.domain.errors import OrchestratorError
from orchestrator.domain.events import EventType, JobEvent
from orchestrator.domain.jobs import Job
from orchestrator.services.container import Services
from orchestrator.services.jobs.follower import skipped

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=V1Route, responses={**ERRORS, **NOT_FOUND})

After = Annotated[str | None, Query(description="Cursor of the last event seen, or `now` to skip the past.")]
LastEventId = Annotated[str | None, Header(description="Like `after`, as clients of event streams send it.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Events of one page; streams have no such limit.")]
Deltas = Annotated[bool, Query(description="Streams: the text of running agents as well. Pages never hold it.")]
_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "A page, or a stream"}
}


@router.get("/{job_id}/events", responses=_STREAM, response_model=EventPage)
async def get_events(
    *,
    request: Request,
    principal: JobsRead,
    services: Svc,
    job_id: JobId,
    after: After = None,
    last_event_id: LastEventId = None,
    limit: Limit = 100,
    deltas: Deltas = True,
) -> EventPage | Response:
    """The events after a cursor. With `Accept: text/event-stream` a stream: first `snapshot`, the job as it is, then
    every event after the cursor, as it happens, to the last, and between them the text of running agents."""
    past = await services.follower.past(principal, job_id, None)
    seen = skipped(past, last_event_id or after)
    if "text/event-stream" not in request.headers.get("accept", ""):
        return await _page(services, principal, past, seen, limit)
    job = await services.reader.get(principal, job_id)
    items = services.watcher.watch(principal, job_id, past[seen - 1].id if seen else None, deltas=deltas)
    state = api_state(request.app)
    connection = state.connections.hold(principal)
    return EventStream(_frames(request, services, principal, job, items), state.closing, connection=connection)


async def _page(services: Services, principal: Principal, past: list[JobEvent], seen: int, limit: int) -> EventPage:
    told = past[seen : seen + limit]
    reached = seen + len(told)
    more = reached < len(past)
    ended = bool(past) and past[-1].type.terminal and not more
    return EventPage(
        events=[await whole_body(services, principal, event) for event in told],
        next=past[reached - 1].id if reached and not ended else None,
        has_more=more,
    )


async def _frames(
    request: Request,
    services: Services,
    principal: Principal,
    job: Job,
    items: AsyncGenerator[JobEvent | Delta],
) -> AsyncGenerator[bytes, None]:
    shared = api_state(request.app).frames
    try:
        whole = await whole_detail(services, job)
        yield frame("snapshot", whole.model_dump_json())
        async with aclosing(items):
            async for item in items:
                if not isinstance(item, JobEvent) or item.type is not EventType.JOB_COMPLETED:
                    yield await _frame(services, principal, item)
                    continue
                # It carries the whole output, to every reader at the same moment.
                last = shared.of(item.id, partial(_frame, services, principal, item))
                yield await asyncio.shield(last)
    except OrchestratorError as fault:
        # The status has been sent; the reader learns of the fault here and comes back with its cursor.
        yield frame("stream_error", envelope(request, fault).model_dump_json())


async def _frame(services: Services, principal: Principal, item: JobEvent | Delta) -> bytes:
    """Text carries no cursor, so that a reader's place stays at the last event."""
    if isinstance(item, Delta):
        text = delta_body(item)
        return frame(text.type, text.model_dump_json())
    body = await whole_body(services, principal, item)
    return frame(body.type, body.model_dump_json(), body.id)


async def whole_body(services: Services, principal: Principal, event: JobEvent) -> EventBody:
    """The event; that of completion carries the whole output (D-061)."""
    body = event_body(event)
    if event.type is not EventType.JOB_COMPLETED:
        return body
    job = await services.reader.get(principal, event.job_id)
    return body.model_copy(update={"data": {**event.data, "output": await whole_output(services, job)}})
