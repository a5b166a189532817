"""The streams that keep open lists current: the changing part of the page, again after each change of what it shows."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Query, Request
from fastapi.sse import format_sse_event
from starlette.responses import Response

from api.deps import Svc, api_state
from api.page.attention import NeedyJobs, attention_values
from api.page.errors import PageRoute
from api.page.jobs import list_values
from api.page.lists import ListQuery
from api.page.rendering import ROOT, fragment
from api.page.visitors import COOKIE, Reader, Visitor
from api.streaming import EventStream
from orchestrator.domain.access import Scope
from orchestrator.domain.backoff import Backoff
from orchestrator.domain.errors import OrchestratorError
from orchestrator.domain.findings import Finding
from orchestrator.services.access.authentication import RECHECK_SECONDS
from orchestrator.services.container import Services
from orchestrator.services.jobs.reader import JobPage

router = APIRouter(prefix=f"{ROOT}/live", include_in_schema=False, route_class=PageRoute)

T = TypeVar("T")
_CHECK: Final = RECHECK_SECONDS  # Between two looks at the session of an open page.
_REST: Final = 2.0  # Seconds after a look without another one, however much jobs change.
# Progress, usage and some reasons change no mark of the index. The pauses grow while the page shows the same.
_LOOKS: Final = Backoff(first=8.0, longest=60.0)


@router.get("/attention")
async def attention(request: Request, services: Svc, visitor: Reader) -> Response:
    """What needs attention."""
    return _stream(request, services, visitor, "_attention_live.html", lambda who: attention_values(services, who))


@router.get("/jobs")
async def jobs(request: Request, services: Svc, visitor: Reader, query: Annotated[ListQuery, Query()]) -> Response:
    """One page of the list of jobs."""
    return _stream(request, services, visitor, "_jobs_live.html", lambda who: list_values(services, who, query))


async def present_reader(services: Services, cookie: str) -> Visitor:
    """Who looks at an open page now. Raises `Unauthenticated`, `Forbidden`: the scopes of a key can change."""
    visitor = Visitor(await services.page_sessions.read(cookie))
    visitor.principal.require(Scope.JOBS_READ)
    return visitor


async def while_signed_in(services: Services, cookie: str, waiting: Coroutine[Any, Any, T]) -> T:
    """Wait for a result, and look at the session all the while. Raises what `present_reader` raises once it ends."""
    task = asyncio.create_task(waiting)
    try:
        while not (await asyncio.wait({task}, timeout=_CHECK))[0]:
            await present_reader(services, cookie)
        return task.result()
    finally:
        task.cancel()


@dataclass(frozen=True, slots=True)
class _Updates:
    """The updates of one open page."""

    services: Services
    cookie: str
    template: str
    values: Callable[[Visitor], Awaitable[dict[str, Any]]]

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """Yield the part as it is, then after each change, while the session lasts."""
        before, mark, looks = None, None, 1
        try:
            while True:
                visitor = await present_reader(self.services, self.cookie)
                values = await self.values(visitor)
                content = _shown(values)
                looks = looks + 1 if content == before else 1
                if content != before:
                    yield format_sse_event(data_str=fragment(self.template, visitor=visitor, **values))
                before = content
                await while_signed_in(self.services, self.cookie, asyncio.sleep(_REST))
                change = self.services.changes.after(mark, _LOOKS.pause(looks))
                mark = await while_signed_in(self.services, self.cookie, change)
        except OrchestratorError:  # the stream ends, and the page connects again
            return


def _stream(
    request: Request,
    services: Services,
    visitor: Visitor,
    template: str,
    values: Callable[[Visitor], Awaitable[dict[str, Any]]],
) -> Response:
    state = api_state(request.app)
    connection = state.connections.hold_page(visitor.principal)
    updates = _Updates(services, request.cookies.get(COOKIE, ""), template, values)
    return EventStream(updates.frames(), state.closing, connection=connection)


def _shown(value: Any) -> Any:
    """What a page shows of its values: without the times at which reasons were seen and parts were checked."""
    match value:
        case dict():
            return {name: _shown(part) for name, part in value.items()}
        case list():
            return [_shown(part) for part in value]
        case JobPage():
            return replace(value, rows=[replace(row, reason_seen=None) for row in value.rows])
        case NeedyJobs():
            return replace(value, listed=_shown(value.listed))
        case Finding():
            return value.check, value.message
        case _:
            return value
