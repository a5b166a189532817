"""The live events of a job. Reconnects with its cursor, so that no event is lost and none comes twice."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from types import TracebackType
from typing import Self

from devora._async import runtime
from devora._async.resource import read
from devora._async.transport import AsyncTransport, Request
from devora._config import CallOptions, log
from devora._cursor import MAX_PAUSE, NOW, STALL_TIMEOUT, Cursor, is_permanent
from devora._retries import Backoff
from devora._sse import FrameDecoder
from devora.errors import DevoraError, JobTimeoutError
from devora.models import Event, EventPage


class AsyncEventStream:
    """An iterator over the events of one job, to the last. To leave it earlier, close it or use it in a `with`.

    A connection that breaks, or from which nothing comes for `stall_timeout` seconds, is made again for as long as the
    stream's `timeout` lasts. `after` is the cursor of the last event seen.
    """

    def __init__(
        self,
        transport: AsyncTransport,
        path: str,
        job_id: str,
        *,
        after: str | None,
        deltas: bool,
        stall_timeout: float = STALL_TIMEOUT,
        options: CallOptions,
    ) -> None:
        self._transport = transport
        self._path = path
        self._deltas = deltas
        self._stall_timeout = stall_timeout
        self._options = options
        self._request = self._new_request()
        self._cursor = Cursor(job_id, after)
        self._backoff = Backoff(transport.config.stream_backoff, MAX_PAUSE)
        self._events = self._read()

    @property
    def after(self) -> str | None:
        """The cursor of the last event seen: give it to another stream to continue from there."""
        return self._cursor.after

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        return await self._events.__anext__()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Leave the stream and its connection."""
        await self._events.aclose()

    def _new_request(self) -> Request:
        query = {"deltas": None if self._deltas else False}
        return Request(self._transport.config, "GET", self._path, query=query, **self._options)

    async def _read(self) -> AsyncGenerator[Event]:
        while not self._cursor.ended:
            pause = 0.0
            try:
                if self._cursor.after == NOW and await self._is_over_now():
                    return
                silent = True
                async with aclosing(self._connection()) as events:
                    async for event in events:
                        silent = False
                        yield event
                if self._cursor.ended or (silent and await self._nothing_follows()):
                    return
            except DevoraError as fault:
                if is_permanent(fault) or isinstance(fault, JobTimeoutError):
                    fault.job_id = self._cursor.job_id
                    raise
                log.info("stream of %s broke off (%s)", self._cursor.job_id, fault.code or type(fault).__name__)
                pause = fault.retry_after or 0.0
            pause = max(pause, self._backoff.next())
            if not self._request.deadline.allows(pause):
                raise self._timed_out()
            await runtime.sleep(pause)

    async def _connection(self) -> AsyncGenerator[Event]:
        """The events of one connection."""
        request, decoder = self._request, FrameDecoder()
        request.headers["Accept"] = "text/event-stream"
        if self._cursor.after is not None:
            request.headers["Last-Event-ID"] = self._cursor.after
        async with self._transport.stream(request, self._stall_timeout) as pieces:
            async for piece in pieces:
                for frame in decoder.feed(piece):
                    event = self._cursor.take(frame)
                    if event is None:
                        continue
                    self._backoff.reset()
                    yield event
                    if self._cursor.ended:
                        return
                if request.deadline.remaining() == 0:
                    raise self._timed_out()

    async def _is_over_now(self) -> bool:
        """Replace `now` by the id of the last event: a connection that breaks before the first event must not skip any.
        Whether there can be none."""
        self._cursor.after = (await self._page_after(NOW)).next
        return self._cursor.after is None

    async def _nothing_follows(self) -> bool:
        """Return whether the stream ended without a last event because it was received before."""
        if self._cursor.after is None:
            return False
        page = await self._page_after(self._cursor.after)
        return not page.events and page.next is None

    async def _page_after(self, cursor: str) -> EventPage:
        request = self._new_request()
        request.query = {"after": cursor, "limit": 1}
        request.deadline, request.max_retries = self._request.deadline, 0
        return read(EventPage, await self._transport.send(request))

    def _timed_out(self) -> JobTimeoutError:
        seconds = self._request.deadline.seconds
        return JobTimeoutError(
            f"Job {self._cursor.job_id} has not ended within {seconds:g} seconds; it continues",
            job_id=self._cursor.job_id,
        )
