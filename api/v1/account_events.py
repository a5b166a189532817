"""The events of the caller's account, as one stream: what its webhooks are sent, without a webhook."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from api.deps import Svc, api_state
from api.security import JobsRead
from api.streaming import EventStream, frame
from api.v1.envelope import ERRORS, V1Route, envelope
from api.v1.messages import ACCOUNT_STREAM_ITEM
from orchestrator.domain.errors import OrchestratorError

router = APIRouter(prefix="/v1/events", tags=["webhooks"], route_class=V1Route, responses=ERRORS)

After = Annotated[
    str | None,
    Query(description="`id` of the last event received, or `0` for the oldest stored event. Without it: new events."),
]
LastEventId = Annotated[str | None, Header(description="The same as `after`; clients of event streams send it.")]
_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "content": {"text/event-stream": {"schema": {"type": "string"}, "itemSchema": ACCOUNT_STREAM_ITEM}},
        "description": "A stream",
    }
}


@router.get("", response_class=Response, responses=_STREAM)
async def follow_account(
    *, request: Request, principal: JobsRead, services: Svc, after: After = None, last_event_id: LastEventId = None
) -> EventStream:
    """Events of the account, as webhooks are sent them: the ends of its jobs, chats and sessions, and disabled
    webhooks. A stream that does not end; its first frame has the cursor at which it starts."""
    number = await services.account_events.start(principal, last_event_id or after)
    state = api_state(request.app)
    events = services.account_events.follow(principal, number)
    frames = _frames(request, number, events)
    return EventStream(frames, state.closing, connection=state.connections.hold(principal))


async def _frames(
    request: Request, number: int, events: AsyncGenerator[tuple[int, dict[str, Any]]]
) -> AsyncGenerator[bytes, None]:
    try:
        yield frame("stream_started", json.dumps({"after": str(number)}), str(number))
        async with aclosing(events):
            async for cursor, body in events:
                yield frame(body["event"], json.dumps(body, ensure_ascii=False), str(cursor))
    except OrchestratorError as fault:
        # The status is already sent. The reader gets the error as a frame and reconnects with its cursor.
        yield frame("stream_error", envelope(request, fault).model_dump_json())
