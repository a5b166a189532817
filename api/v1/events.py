"""Events of a job: one page, or a stream that starts with a snapshot of the job (A6)."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from api.deps import JobId, Svc, api_state
from api.outputs import whole_output
from api.security import JobsRead
from api.streaming import EncodedFrames, EventStream, frame
from api.v1.envelope import ERRORS, NOT_FOUND, V1Route, envelope
from api.v1.messages import STREAM_ITEM
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

After = Annotated[str | None, Query(description="`id` of the last event received, or `now` to skip past events.")]
LastEventId = Annotated[str | None, Header(description="The same as `after`; clients of event streams send it.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Events in one page. Streams ignore it.")]
Snapshot = Annotated[bool, Query(description="Whether a stream begins with the job as it is. Pages never do.")]
Deltas = Annotated[bool, Query(description="Whether a stream has the text of running agents. Pages never have it.")]
_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "content": {"text/event-stream": {"schema": {"type": "string"}, "itemSchema": STREAM_ITEM}},
        "description": "A page, or a stream",
    }
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
    snapshot: Snapshot = True,
    deltas: Deltas = True,
) -> EventPage | Response:
    """Events after a cursor, as one page. With `Accept: text/event-stream` as a stream: first `snapshot`, the job as it
    is, then every event after the cursor until the job ends, and between them the text of running agents. The snapshot
    has no output if the event `job.completed` follows, which has it."""
    past = await services.follower.past(principal, job_id, None)
    start = skipped(past, last_event_id or after)
    if "text/event-stream" not in request.headers.get("accept", ""):
        return await _page(services, principal, past, start, limit)
    job = await services.reader.get(principal, job_id) if snapshot else None
    output_follows = start < len(past) or not (past and past[-1].type.terminal)
    first = partial(_snapshot, services, job, with_output=not output_follows) if job else None
    batches = services.watcher.batches(principal, job_id, past[start - 1].id if start else None, deltas=deltas)
    state = api_state(request.app)
    connection = state.connections.hold(principal)
    return EventStream(_frames(request, services, principal, first, batches), state.closing, connection=connection)


async def _page(services: Services, principal: Principal, past: list[JobEvent], start: int, limit: int) -> EventPage:
    events = past[start : start + limit]
    end = start + len(events)
    more = end < len(past)
    ended = bool(past) and past[-1].type.terminal and not more
    return EventPage(
        events=[await whole_body(services, principal, event) for event in events],
        next=past[end - 1].id if end and not ended else None,
        has_more=more,
    )


async def _frames(
    request: Request,
    services: Services,
    principal: Principal,
    first: Callable[[], Awaitable[bytes]] | None,
    batches: AsyncGenerator[list[JobEvent] | Delta],
) -> AsyncGenerator[bytes, None]:
    state = api_state(request.app)
    try:
        if first is not None:
            yield await first()
        async with aclosing(batches):
            async for batch in batches:
                if isinstance(batch, Delta):
                    yield _delta_frame(batch)
                    continue
                last = batch[-1]
                completed = last.type is EventType.JOB_COMPLETED
                if events := batch[: -1 if completed else None]:
                    yield b"".join([_event_frame(state.event_frames, event) for event in events])
                if completed:
                    # It has the whole output, and all readers get it at the same moment.
                    shared = state.frames.of(last.id, partial(_completed_frame, services, principal, last))
                    yield await asyncio.shield(shared)
    except OrchestratorError as fault:
        # The status is already sent. The reader gets the error as a frame and reconnects with its cursor.
        yield frame("stream_error", envelope(request, fault).model_dump_json())


async def _snapshot(services: Services, job: Job, *, with_output: bool) -> bytes:
    detail = await whole_detail(services, job, with_output=with_output)
    return frame("snapshot", detail.model_dump_json())


def _delta_frame(delta: Delta) -> bytes:
    """Return a frame of text. It has no cursor, so that a reader's position stays at the last event."""
    text = delta_body(delta)
    return frame(text.type, text.model_dump_json())


def _event_frame(frames: EncodedFrames, event: JobEvent) -> bytes:
    return frames.of((event.job_id, event.id), lambda: _encoded(event_body(event)))


async def _completed_frame(services: Services, principal: Principal, event: JobEvent) -> bytes:
    return _encoded(await whole_body(services, principal, event))


def _encoded(body: EventBody) -> bytes:
    return frame(body.type, body.model_dump_json(), body.id)


async def whole_body(services: Services, principal: Principal, event: JobEvent) -> EventBody:
    """Return the body of an event. The event of completion has the whole output (D-061)."""
    body = event_body(event)
    if event.type is not EventType.JOB_COMPLETED:
        return body
    job = await services.reader.get(principal, event.job_id)
    return body.model_copy(update={"data": {**event.data, "output": await whole_output(services, job)}})
