"""The stream that keeps an open page of a job current: after each event, and while calls run, the part that changed."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.sse import format_sse_event
from starlette.responses import Response

from api.deps import JobId, Svc, api_state
from api.page.errors import PageRoute
from api.page.job import Scale, steps_values
from api.page.rendering import ROOT, fragment
from api.page.visitors import COOKIE, Reader, Visitor
from api.streaming import EventStream
from orchestrator.domain.access import Scope
from orchestrator.domain.backoff import Backoff
from orchestrator.domain.errors import OrchestratorError
from orchestrator.domain.jobs import Job
from orchestrator.services.container import Services

router = APIRouter(prefix=ROOT, include_in_schema=False, route_class=PageRoute)

_GATHER: Final = 0.25  # Seconds: events that arrive together are one update.
# Seconds between two looks at a job: attempts and retries are no events. The pauses grow while nothing happens.
_LOOKS: Final = Backoff(first=2.0, longest=30.0)


@router.get("/jobs/{job_id}/live")
async def live(request: Request, services: Svc, visitor: Reader, job_id: JobId, scale: Scale = "") -> Response:
    """The changing part of the page of a job, again after every change, until the job ends."""
    job = await services.reader.get(visitor.principal, job_id)
    state = api_state(request.app)
    connection = state.connections.hold(visitor.principal)
    updates = _Updates(services, visitor, request.cookies.get(COOKIE, ""), scale)
    return EventStream(updates.frames(job), state.closing, connection=connection)


class _Updates:
    """The updates of one open page."""

    def __init__(self, services: Services, visitor: Visitor, cookie: str, scale: str) -> None:
        self._services = services
        self._visitor = visitor
        self._cookie = cookie
        self._scale = scale

    async def frames(self, job: Job) -> AsyncGenerator[bytes, None]:
        """Yield the part as it is, then after each change. The frame `done` follows the end of the job."""
        yield await self._frame(job)
        if not job.state.terminal:
            try:
                async with aclosing(self._changes(job)) as changes:
                    async for changed in changes:
                        yield await self._frame(changed)
            except OrchestratorError:  # the stream ends, and the page connects again
                return
        yield format_sse_event(data_str="", event="done")

    async def _changes(self, job: Job) -> AsyncGenerator[Job, None]:
        principal = self._visitor.principal
        events = self._services.watcher.watch(principal, job.id, job.last_event, deltas=False)
        upcoming: asyncio.Task[Any] = asyncio.create_task(_next(events))
        looks = 1  # Since the last change.
        try:
            while not job.state.terminal:
                await asyncio.wait({upcoming}, timeout=_LOOKS.pause(looks))
                happened = upcoming.done()
                if happened:
                    is_over = upcoming.result() is None  # the next looks show the end of the job
                    await asyncio.sleep(_GATHER)
                    upcoming = asyncio.create_task(asyncio.Event().wait() if is_over else _next(events))
                session = await self._services.page_sessions.read(self._cookie)
                session.principal.require(Scope.JOBS_READ)  # the scopes of a key can change
                current = await self._services.reader.get(principal, job.id)
                is_busy = any(call.status.active for call in current.calls)
                if current != job or is_busy:
                    yield current
                looks = 1 if happened or current != job else looks + 1
                job = current
        finally:
            if not upcoming.done():
                upcoming.cancel()
                await asyncio.gather(upcoming, return_exceptions=True)
            await events.aclose()

    async def _frame(self, job: Job) -> bytes:
        values = await steps_values(self._services, self._visitor, job, self._scale)
        return format_sse_event(data_str=fragment("_job_live.html", visitor=self._visitor, **values))


async def _next(events: AsyncGenerator[Any, None]) -> object:
    """The next event. None once there are no more: the job has ended, which the next look shows."""
    return await anext(events, None)
