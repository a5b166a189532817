"""Live events of a job or an account. Reconnects with its cursor: no event is lost and none comes twice."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from types import TracebackType
from typing import Any, Generic, Self

from devora._async import runtime
from devora._async.resource import read
from devora._async.transport import AsyncTransport, Request
from devora._config import CallOptions, is_header, log
from devora._cursor import MAX_PAUSE, NOW, STALL_TIMEOUT, AccountCursor, Cursor, Item, JobCursor, is_permanent
from devora._retries import Backoff
from devora._sse import FrameDecoder
from devora.errors import APITimeoutError, DevoraError, InvalidRequestError, JobTimeoutError
from devora.models import Event, EventPage, WebhookEvent


class AsyncStream(Generic[Item]):
    """An iterator over events. To leave it, close it or use it in a `with`.

    A connection that breaks, or from which nothing comes for `stall_timeout` seconds, is made again for as long as the
    stream's `timeout` lasts. `after` is the cursor of the last event seen.
    """

    def __init__(
        self,
        transport: AsyncTransport,
        path: str,
        query: dict[str, Any],
        cursor: Cursor[Item],
        *,
        stall_timeout: float,
        options: CallOptions,
    ) -> None:
        self._transport = transport
        self._path = path
        self._stall_timeout = stall_timeout
        self._options = options
        self._request = self._new_request(query)
        self._cursor = cursor
        self._backoff = Backoff(transport.config.stream_backoff, MAX_PAUSE)
        self._events = self._read()

    @property
    def after(self) -> str | None:
        """The cursor of the last event seen: give it to another stream to continue from there."""
        return self._cursor.after

    def __aiter__(self) -> AsyncIterator[Item]:
        return self

    async def __anext__(self) -> Item:
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

    def _new_request(self, query: dict[str, Any]) -> Request:
        return Request(self._transport.config, "GET", self._path, query=query, **self._options)

    async def _read(self) -> AsyncGenerator[Item]:
        while not self._cursor.ended:
            pause = 0.0
            try:
                if await self._is_over():
                    return
                silent = True
                async with aclosing(self._connection()) as events:
                    async for event in events:
                        silent = False
                        yield event
                if self._cursor.ended or (silent and await self._nothing_follows()):
                    return
            except DevoraError as fault:
                if self._request.deadline.remaining() == 0 and isinstance(fault, APITimeoutError):
                    raise self._timed_out() from fault
                if is_permanent(fault) or self._request.deadline.remaining() == 0:
                    self._name(fault)
                    raise
                log.info("stream of %s broke off (%s)", self._path, fault.code or type(fault).__name__)
                pause = fault.retry_after or 0.0
            pause = max(pause, self._backoff.next())
            if not self._request.deadline.allows(pause):
                raise self._timed_out()
            await runtime.sleep(pause)

    async def _connection(self) -> AsyncGenerator[Item]:
        """The events of one connection."""
        request, decoder = self._request, FrameDecoder()
        request.headers["Accept"] = "text/event-stream"
        if self._cursor.after is not None:
            if not is_header(self._cursor.after):
                raise InvalidRequestError(
                    f"Invalid cursor {self._cursor.after!r}: expected the id of an event",
                    code="invalid_request",
                    details={"field": "after"},
                )
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

    async def _is_over(self) -> bool:
        """Return whether there can be no event, before a connection is made."""
        return False

    async def _nothing_follows(self) -> bool:
        """Return whether the stream ended without a last event because it was received before."""
        return False

    def _name(self, fault: DevoraError) -> None:
        """Say in the error what the stream is of."""

    def _timed_out(self) -> DevoraError:
        seconds = self._request.deadline.seconds
        return APITimeoutError(f"The stream of {self._path} has lasted {seconds:g} seconds")


class AsyncAccountStream(AsyncStream[WebhookEvent]):
    """An iterator over the events of an account, which does not end."""

    def __init__(
        self, transport: AsyncTransport, *, after: str | None, stall_timeout: float, options: CallOptions
    ) -> None:
        cursor = AccountCursor(after)
        super().__init__(transport, "/events", {}, cursor, stall_timeout=stall_timeout, options=options)


class AsyncEventStream(AsyncStream[Event]):
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
        query = {"deltas": None if deltas else False, "snapshot": False}
        cursor = self._job_cursor = JobCursor(after)
        super().__init__(transport, path, query, cursor, stall_timeout=stall_timeout, options=options)
        self._job_id = job_id

    async def _is_over(self) -> bool:
        """Replace `now` by the id of the last event: a connection that breaks before the first event must not skip any.
        Whether there can be none."""
        if self._cursor.after != NOW:
            return False
        self._cursor.after = (await self._page_after(NOW)).next
        return self._cursor.after is None

    async def _nothing_follows(self) -> bool:
        if self._cursor.after is None:
            return False
        page = await self._page_after(self._cursor.after)
        return not page.events and page.next is None

    async def _page_after(self, cursor: str) -> EventPage:
        request = self._new_request({"after": cursor, "limit": 1})
        request.deadline, request.max_retries = self._request.deadline, 0
        request.attempt_timeout = self._stall_timeout
        return read(EventPage, await self._transport.send(request))

    def _name(self, fault: DevoraError) -> None:
        fault.job_id = self._job_id

    def _timed_out(self) -> DevoraError:
        message = f"Job {self._job_id} has not ended within {self._request.deadline.seconds:g} seconds; it continues"
        last = self._job_cursor.last
        if last is not None:
            message += f" (last event: {last.name}{f': {last.message}' if last.message else ''})"
        return JobTimeoutError(message, job_id=self._job_id)
