"""The stream that keeps an open page of a job current: after each event, and while calls run, the part that changed."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Hashable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.sse import format_sse_event
from starlette.responses import Response

from api.deps import JobId, Svc, api_state
from api.page.errors import PageRoute
from api.page.job import Scale, steps_values
from api.page.refresh import present_reader, while_signed_in
from api.page.rendering import ROOT, fragment, url
from api.page.visitors import COOKIE, Reader, Visitor
from api.streaming import EventStream
from orchestrator.domain.backoff import Backoff
from orchestrator.domain.errors import OrchestratorError
from orchestrator.domain.jobs import Job
from orchestrator.services.container import Services

router = APIRouter(prefix=ROOT, include_in_schema=False, route_class=PageRoute)

_GATHER: Final = 0.25  # Seconds: events that arrive together are one update.
# Seconds after a look without another one, however much happens; after a slow look, a multiple of the time it took.
_REST: Final = 2.0
_REST_PER_SECOND: Final = 10.0
# Seconds between two looks at a job: attempts and retries are no events. The pauses grow while nothing happens.
_LOOKS: Final = Backoff(first=2.0, longest=30.0)


@router.get("/jobs/{job_id}/live")
async def live(request: Request, services: Svc, visitor: Reader, job_id: JobId, scale: Scale = "") -> Response:
    """The changing part of the page of a job, again after every change, until the job ends."""
    job = await services.reader.get(visitor.principal, job_id)
    state = api_state(request.app)
    connection = state.connections.hold_page(visitor.principal)
    updates = _Updates(services, request.cookies.get(COOKIE, ""), job.id, scale)
    return EventStream(updates.frames(), state.closing, connection=connection)


@dataclass(frozen=True, slots=True)
class _Part:
    """The part of a page as one look at the job showed it. `beginning` is the time of the loop when the look began."""

    job: Job
    content: dict[str, Any]
    frame: bytes
    beginning: float
    rest: float


class _Parts:
    """The parts that streams of this process show: one look serves all streams of a session until its rest is over."""

    def __init__(self) -> None:
        self._looks: dict[Hashable, asyncio.Task[_Part]] = {}

    async def of(self, key: Hashable, look: Callable[[], Coroutine[Any, Any, _Part]]) -> _Part:
        """The part of a key. Raises what `look` raises."""
        task = self._looks.get(key)
        if task is None:
            task = self._looks[key] = asyncio.create_task(look(), name="look at a job for open pages")
            task.add_done_callback(partial(self._settle, key))
        await asyncio.wait({task})  # a stream that ends leaves the look to the others
        return task.result()

    def _settle(self, key: Hashable, task: asyncio.Task[_Part]) -> None:
        """Forget a failed look at once, another after its rest. Reads the exception: all streams may be gone."""
        if task.cancelled() or task.exception() is not None:
            del self._looks[key]
        else:
            asyncio.get_running_loop().call_later(task.result().rest, self._looks.pop, key)


_PARTS: Final = _Parts()


class _Updates:
    """The updates of one open page."""

    def __init__(self, services: Services, cookie: str, job_id: str, scale: str) -> None:
        self._services = services
        self._cookie = cookie
        self._job_id = job_id
        self._scale = scale
        self._happened = asyncio.Event()
        self._happened_at = 0.0

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """Yield the part as it is, then after each change. The frame `done` follows the end of the job."""
        before: _Part | None = None
        try:
            async with aclosing(self._parts()) as parts:
                async for part in parts:
                    if before is None or part.content != before.content:
                        yield part.frame
                    before = part
        except OrchestratorError:  # the stream ends, and the page connects again
            return
        yield format_sse_event(data_str="", event="done")

    async def _parts(self) -> AsyncGenerator[_Part, None]:
        """What each look shows, until the job has ended."""
        visitor = await present_reader(self._services, self._cookie)
        part, looks = await self._part(visitor, None), 1  # Looks since the last change.
        yield part
        events = self._services.watcher.watch(visitor.principal, self._job_id, part.job.last_event, deltas=False)
        noticing = asyncio.create_task(self._notice(events))
        try:
            while not part.job.state.terminal:
                await self._signed_in(asyncio.sleep(part.rest))
                await self._signed_in(self._wait(_LOOKS.pause(looks)))
                if noticing.done():
                    noticing.result()  # after the last event, the next looks show the end of the job
                happened = self._happened.is_set()
                if happened:
                    await asyncio.sleep(_GATHER)
                before = part
                part = await self._part(await present_reader(self._services, self._cookie), before)
                if part.beginning >= self._happened_at:  # else another stream looked before the last event
                    self._happened.clear()
                yield part
                looks = 1 if happened or part.job != before.job else looks + 1
        finally:
            noticing.cancel()
            await asyncio.gather(noticing, return_exceptions=True)
            await events.aclose()

    async def _signed_in(self, waiting: Coroutine[Any, Any, None]) -> None:
        await while_signed_in(self._services, self._cookie, waiting)

    async def _wait(self, seconds: float) -> None:
        """Wait until something happens, but no longer than this."""
        try:
            await asyncio.wait_for(self._happened.wait(), seconds)
        except TimeoutError:
            return

    async def _notice(self, events: AsyncGenerator[Any, None]) -> None:
        try:
            async for _ in events:
                self._note()
        finally:
            self._note()

    def _note(self) -> None:
        self._happened_at = asyncio.get_running_loop().time()
        self._happened.set()

    async def _part(self, visitor: Visitor, before: _Part | None) -> _Part:
        key = (id(self._services), self._job_id, visitor.session, self._scale, url())
        return await _PARTS.of(key, lambda: self._look(visitor, before))

    async def _look(self, visitor: Visitor, before: _Part | None) -> _Part:
        """Read the job, and render the part unless it shows the same as before."""
        loop = asyncio.get_running_loop()
        beginning = loop.time()
        job = await self._services.reader.get(visitor.principal, self._job_id)
        values = await steps_values(self._services, visitor, job, self._scale)
        content = _shown(values, visitor)
        if before is not None and before.content == content:
            content, frame = before.content, before.frame
        else:
            text = await asyncio.to_thread(fragment, "_job_live.html", visitor=visitor, **values)
            frame = format_sse_event(data_str=text)
        rest = max(_REST, _REST_PER_SECOND * (loop.time() - beginning))
        return _Part(job, content, frame, beginning, rest)


def _shown(values: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
    """What the part shows: the time line moves only while calls run, and the forms are those of the job."""
    is_busy = any(call.status.active for call in values["job"].calls)
    left_out = {"forms"} if is_busy else {"forms", "chart"}
    return {"visitor": visitor, **{name: value for name, value in values.items() if name not in left_out}}
