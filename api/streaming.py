"""Server-sent events: frames and keep-alive comments, until the client, the job or the server ends."""

import asyncio
import signal
import threading
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Coroutine, Hashable, Iterator
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
# Bytes passed to the server at once. Between two pieces it waits for a slow client, so it buffers one piece only.
PIECE_BYTES: Final = 16_384
ENCODED_BYTES: Final = 8 * 1024 * 1024
F = TypeVar("F", bytes, str)
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def frame(event: str, data: str, cursor: str | None = None) -> bytes:
    """Return one event as bytes. `data` is JSON; a frame without `cursor` does not move the client's position."""
    return format_sse_event(data_str=data, event=event, id=cursor)


class SharedFrames(Generic[F]):
    """Large frames for many readers of one process: each is built once and kept while one reader is sent it."""

    def __init__(self) -> None:
        self._tasks: WeakValueDictionary[str, asyncio.Task[F]] = WeakValueDictionary()

    def of(self, key: str, make: Callable[[], Coroutine[None, None, F]]) -> asyncio.Task[F]:
        """Return the task that builds the frame of a key. Keep the task until the frame is sent."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(make(), name="shared frame")
            task.add_done_callback(partial(self._settle, key))
        return task

    def _settle(self, key: str, task: asyncio.Task[F]) -> None:
        """Forget a failed task, so that the next reader starts one. Reads its exception: all readers may be gone."""
        if task.cancelled() or task.exception() is not None:
            self._tasks.pop(key, None)


class EncodedFrames:
    """The frames of events, encoded once for all readers of a process. Keeps the newest, up to `most_bytes`."""

    def __init__(self, most_bytes: int = ENCODED_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._frames: OrderedDict[Hashable, bytes] = OrderedDict()

    def of(self, key: Hashable, encode: Callable[[], bytes]) -> bytes:
        """Return the frame of a key."""
        encoded = self._frames.get(key)
        if encoded is None:
            encoded = self._frames[key] = encode()
            self._bytes += len(encoded)
            while self._bytes > self._most_bytes:
                self._bytes -= len(self._frames.popitem(last=False)[1])
        return encoded


class EventStream(StreamingResponse):
    """A `text/event-stream` that closes its source and releases its connection when the client is gone."""

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
    """Yield the frames, and a comment after `every` seconds of silence, until they end or `closing` is set."""
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
        else:  # the generator runs in that task and ends with it
            upcoming.cancel()


async def _next(frames: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(frames, None)


@contextmanager
def closed_by_signals(closing: asyncio.Event) -> Iterator[None]:
    """Set `closing` when a signal stops the server, so that streams end: the server waits for its connections. The
    server's own signal handlers still run."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def close_first(number: int, interrupted: FrameType | None) -> None:
        loop.call_soon_threadsafe(closing.set)
        handler = handlers[signal.Signals(number)]
        if callable(handler):
            handler(number, interrupted)

    replaced = [number for number, handler in handlers.items() if callable(handler)]
    for number in replaced:
        signal.signal(number, close_first)
    try:
        yield
    finally:
        for number in replaced:
            if signal.getsignal(number) is close_first:
                signal.signal(number, handlers[number])
