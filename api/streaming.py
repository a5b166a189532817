"""Server-sent events: frames with keep-alives between them, which end with the client, the job or the server."""

import asyncio
import signal
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager
from functools import partial
from types import FrameType
from typing import Final, Generic, TypeVar
from weakref import WeakValueDictionary

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.connections import OpenConnection

KEEP_ALIVE_SECONDS: Final = 15.0
# Bytes handed to the server at once: it waits for a slow client between two pieces, and holds no more than one.
PIECE_BYTES: Final = 16_384
F = TypeVar("F", bytes, str)
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def frame(event: str, data: str, cursor: str | None = None) -> bytes:
    """One event on the wire. `data` is JSON; a frame without `cursor` leaves the client's place as it is."""
    return format_sse_event(data_str=data, event=event, id=cursor)


class SharedFrames(Generic[F]):
    """Large frames that many readers of one process are sent: made once, and kept while one of them is sent."""

    def __init__(self) -> None:
        self._made: WeakValueDictionary[str, asyncio.Task[F]] = WeakValueDictionary()

    def of(self, key: str, make: Callable[[], Coroutine[None, None, F]]) -> asyncio.Task[F]:
        """The frame under a key, made now unless it is at hand. Hold the task until the frame is sent."""
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = asyncio.create_task(make(), name="shared frame")
            made.add_done_callback(partial(self._settle, key))
        return made

    def _settle(self, key: str, made: asyncio.Task[F]) -> None:
        """One that failed is made anew for the next. Whoever waited for it may all have gone."""
        if made.cancelled() or made.exception() is not None:
            self._made.pop(key, None)


class EventStream(StreamingResponse):
    """A `text/event-stream` that closes its source as soon as the client has gone, and releases its connection then."""

    media_type = "text/event-stream"

    def __init__(
        self, frames: AsyncGenerator[bytes, None], closing: asyncio.Event, *, connection: OpenConnection
    ) -> None:
        self._connection = connection
        self._frames = kept_alive(frames, closing)
        super().__init__(self._frames, headers=_HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._connection.release()

    async def stream_response(self, send: Send) -> None:
        """Send every frame."""
        async with aclosing(self._frames):
            await super().stream_response(send)


async def kept_alive(
    frames: AsyncGenerator[bytes, None], closing: asyncio.Event, *, every: float = KEEP_ALIVE_SECONDS
) -> AsyncGenerator[bytes, None]:
    """The frames, and a comment after each `every` seconds of silence, until they end or `closing` is set."""
    stop = asyncio.create_task(closing.wait())
    upcoming: asyncio.Task[bytes | None] | None = None
    try:
        while True:
            upcoming = upcoming or asyncio.create_task(_next(frames))
            await asyncio.wait({stop, upcoming}, timeout=every, return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                return
            if not upcoming.done():
                yield KEEPALIVE_COMMENT
                continue
            ready, upcoming = upcoming.result(), None
            if ready is None:
                return
            for start in range(0, len(ready), PIECE_BYTES):
                yield ready[start : start + PIECE_BYTES]
    finally:
        stop.cancel()
        if upcoming is None or upcoming.done():
            await frames.aclose()
        else:  # the generator is at work in that task, and ends with it
            upcoming.cancel()


async def _next(frames: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(frames, None)


@contextmanager
def closed_by_signals(closing: asyncio.Event) -> Iterator[None]:
    """Set `closing` when the server is told to stop: it waits for its connections, and streams have no end of
    their own. The server's handlers run as before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    earlier = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def close_first(number: int, interrupted: FrameType | None) -> None:
        loop.call_soon_threadsafe(closing.set)
        handler = earlier[signal.Signals(number)]
        if callable(handler):
            handler(number, interrupted)

    ours = [number for number, handler in earlier.items() if callable(handler)]
    for number in ours:
        signal.signal(number, close_first)
    try:
        yield
    finally:
        for number in ours:
            if signal.getsignal(number) is close_first:
                signal.signal(number, earlier[number])
