"""A job's events: a page of them, or a stream that starts with the job as it is (A6)."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from api.deps import JobId, Svc, api_state
from api.security import JobsRead
from api.streaming import EventStream, frame
from api.v1.envelope import ERRORS, NOT_FOUND, V1Route, envelope
from api.v1.models import EventBody, EventPage
from api.v1.rendering import event_body, job_detail
from api.v1.starting import whole_output
from orchestrator.domain.access import Principal
from orchestrator.domain.errors import OrchestratorError
from orchestrator.domain.events import EventType, JobEvent
from orchestrator.domain.jobs import Job
from orchestrator.services.following import skipped
from orchestrator.services.registry import Services

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=V1Route, responses={**ERRORS, **NOT_FOUND})

After = Annotated[str | None, Query(description="Cursor of the last event seen, or `now` to skip the past.")]
LastEventId = Annotated[str | None, Header(description="Like `after`, as clients of event streams send it.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Events of one page; streams have no such limit.")]
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
) -> EventPage | Response:
    """The events after a cursor. With `Accept: text/event-stream` a stream: first `snapshot`, the job as it is, then
    every event after the cursor, as it happens, to the last."""
    past = await services.follower.past(principal, job_id, None)
    seen = skipped(past, last_event_id or after)
    if "text/event-stream" not in request.headers.get("accept", ""):
        return await _page(services, principal, past, seen, limit)
    job = await services.reader.get(principal, job_id)
    frames = _frames(request, services, principal, job, past[seen - 1].id if seen else None)
    return EventStream(frames, api_state(request.app).closing)


async def _page(services: Services, principal: Principal, past: list[JobEvent], seen: int, limit: int) -> EventPage:
    told = past[seen : seen + limit]
    reached = seen + len(told)
    more = reached < len(past)
    ended = bool(past) and past[-1].type.terminal and not more
    return EventPage(
        events=[await _body(services, principal, event) for event in told],
        next=past[reached - 1].id if reached and not ended else None,
        has_more=more,
    )


async def _frames(
    request: Request, services: Services, principal: Principal, job: Job, after: str | None
) -> AsyncGenerator[bytes, None]:
    try:
        whole = job_detail(job, await whole_output(services, job), services.run_page(job.id))
        yield frame("snapshot", whole.model_dump_json())
        async for event in services.follower.events(principal, job.id, after):
            body = await _body(services, principal, event)
            yield frame(body.type, body.model_dump_json(), body.id)
    except OrchestratorError as fault:
        # The status has been sent; the reader learns of the fault here and comes back with its cursor.
        yield frame("stream_error", envelope(request, fault).model_dump_json())


async def _body(services: Services, principal: Principal, event: JobEvent) -> EventBody:
    """The event; that of completion carries the whole output (D-061)."""
    body = event_body(event)
    if event.type is not EventType.JOB_COMPLETED:
        return body
    job = await services.reader.get(principal, event.job_id)
    return body.model_copy(update={"data": {**event.data, "output": await whole_output(services, job)}})
