"""Common parts of every WebSocket: bounded sending, one end for all its tasks, metrics."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from fastapi.security.utils import get_authorization_scheme_param
from prometheus_client import CollectorRegistry, Counter, Gauge
from starlette.websockets import WebSocket, WebSocketDisconnect
from structlog.contextvars import bind_contextvars, bound_contextvars

from api.connections import OpenConnections
from api.limits import address_of
from api.middleware import request_id
from api.validation import unknown_query
from orchestrator.domain.access import Principal
from orchestrator.domain.errors import LimitExceeded, OrchestratorError, Unauthenticated, Unavailable
from orchestrator.services.access.authentication import RECHECK_SECONDS, Authenticator

log = structlog.get_logger(__name__)

NORMAL: Final = 1000
ABNORMAL: Final = 1006
POLICY_VIOLATION: Final = 1008
INTERNAL_ERROR: Final = 1011
SERVICE_RESTART: Final = 1012
TRY_AGAIN_LATER: Final = 1013
BAD_FRAMES: Final = 4400
UNAUTHENTICATED: Final = 4401
AUTH_TIMEOUT: Final = 4408
TOO_SLOW: Final = 4429
IDLE: Final = 4410
_MINUTE: Final = 60.0
_USED_CODES: Final = frozenset({*range(1000, 1016), *range(4400, 4500)})


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """Limits of one socket. Times are seconds, sizes bytes.

    A socket without subscriptions is closed after `idle`; one whose only job has ended, after `linger`.
    """

    auth_timeout: float = 10.0
    recheck: float = RECHECK_SECONDS
    idle: float = 600.0
    linger: float = 60.0
    frame_bytes: int = 64 * 1024
    frames_per_minute: int = 120
    bad_frames: int = 20
    subscriptions: int = 100
    waiting_frames: int = 256
    waiting_bytes: int = 4 * 1024 * 1024
    patience: float = 5.0
    grace: float = 5.0


def socket_limits(websocket: WebSocket) -> SocketLimits:
    """Return the limits of every socket of the application."""
    limits: SocketLimits = websocket.app.state.api.socket_limits
    return limits


class SocketMetrics:
    """The metrics of all sockets, in the registry of one application (A-029)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.open = Gauge("websocket_connections", "Active WebSocket connections", registry=registry)
        self.closes = Counter(
            "orchestrator_websocket_closes", "WebSocket connections ended, by close code.", ("code",), registry=registry
        )

    def closed(self, code: int) -> None:
        """Count one close. Unknown close codes of clients count as `other`."""
        self.closes.labels(str(code) if code in _USED_CODES else "other").inc()


class Hangup(Exception):
    """The server ends the connection: close code, short reason, and the last frame to send."""

    def __init__(self, code: int, reason: str, last: str | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.last = last


class TooSlow(Hangup):
    """The client does not read its frames."""

    def __init__(self) -> None:
        super().__init__(TOO_SLOW, "client reads too slowly")


@dataclass(frozen=True, slots=True)
class _Frame:
    text: str
    droppable: bool


class SendQueue:
    """The frames to send to one client, in order, within the limits."""

    def __init__(self, send: Callable[[str], Awaitable[None]], limits: SocketLimits) -> None:
        self._send = send
        self._limits = limits
        self._waiting: deque[_Frame] = deque()
        self._characters = 0
        self._changed = asyncio.Condition()

    async def put(self, text: str) -> None:
        """Queue a frame that must arrive; droppable frames are removed if there is no room.

        Raises `TooSlow` if there is no room within `patience` seconds.
        """
        try:
            async with asyncio.timeout(self._limits.patience), self._changed:
                await self._changed.wait_for(self._has_room)
                self._append(_Frame(text, droppable=False))
        except TimeoutError:
            raise TooSlow from None

    async def offer(self, text: str) -> bool:
        """Queue a droppable frame. Returns False if there was no room and it was dropped."""
        async with self._changed:
            if self._full():
                return False
            self._append(_Frame(text, droppable=True))
            return True

    async def run(self) -> None:
        """Send one frame after another until cancelled. A frame whose sending is cancelled stays in the queue."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: bool(self._waiting))
            await self._send_first()

    async def drain(self, last: str | None) -> None:
        """Send all queued frames, then `last` if it is not None."""
        while self._waiting:
            await self._send_first()
        if last is not None:
            await self._send(last)

    async def _send_first(self) -> None:
        frame = self._waiting.popleft()
        self._characters -= len(frame.text)
        try:
            await self._send(frame.text)
        except asyncio.CancelledError:
            self._waiting.appendleft(frame)
            raise
        async with self._changed:
            self._changed.notify_all()

    def _append(self, frame: _Frame) -> None:
        self._waiting.append(frame)
        self._characters += len(frame.text)
        self._changed.notify_all()

    def _full(self) -> bool:
        return len(self._waiting) >= self._limits.waiting_frames or self._characters >= self._limits.waiting_bytes

    def _has_room(self) -> bool:
        """Return whether a frame that must arrive may be queued; drops droppable frames to make room."""
        if self._full():
            self._waiting = deque(frame for frame in self._waiting if not frame.droppable)
            self._characters = sum(len(frame.text) for frame in self._waiting)
        return not self._full()


class FrameCount:
    """Counts the frames of one client within a minute."""

    def __init__(self, most: int) -> None:
        self._times: deque[float] = deque(maxlen=most)

    def add(self) -> None:
        """Count a frame. Raises `LimitExceeded` above the limit, and does not count the frame then."""
        now, most = asyncio.get_running_loop().time(), self._times.maxlen
        if len(self._times) == most and now - self._times[0] < _MINUTE:
            wait = _MINUTE - (now - self._times[0])
            raise LimitExceeded(
                f"At most {most} frames a minute; this one is dropped", limit="frames", retry_after=wait
            )
        self._times.append(now)


class Counted:
    """A socket among the open connections: first of its address, then of its client once that is authenticated."""

    def __init__(self, connections: OpenConnections, websocket: WebSocket) -> None:
        self._connections = connections
        self._connection = connections.hold(address_of(websocket))

    def belongs_to(self, principal: Principal) -> None:
        """Count the socket for a principal. Raises `LimitExceeded`, `Unavailable`."""
        before, self._connection = self._connection, self._connections.hold(principal)
        before.release()

    def release(self) -> None:
        """Stop counting the socket."""
        self._connection.release()


@dataclass(frozen=True, slots=True)
class Line:
    """One accepted socket. Its `tasks` end with it; a `Hangup` raised in one of them ends the socket."""

    websocket: WebSocket
    outbox: SendQueue
    tasks: asyncio.TaskGroup
    counted: Counted
    limits: SocketLimits

    def belongs_to(self, principal: Principal) -> None:
        """Count the socket for an authenticated client. Raises `LimitExceeded`, `Unavailable` at the limit."""
        bind_contextvars(principal=principal.id)
        self.websocket.state.principal = principal
        self.counted.belongs_to(principal)

    async def receive(self, *, busy: Callable[[], bool] = lambda: False) -> str | bytes:
        """Return the client's next frame, text or binary. Raises `WebSocketDisconnect`.

        Raises `Hangup` after `idle` seconds without a frame, unless `busy` returns true.
        """
        while True:
            try:
                async with asyncio.timeout(self.limits.idle):
                    message = await self.websocket.receive()
                break
            except TimeoutError:
                if not busy():
                    raise Hangup(IDLE, "idle") from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code") or NORMAL, message.get("reason"))
        text: str | None = message.get("text")
        return message["bytes"] if text is None else text


def bearer_of(websocket: WebSocket) -> str | None:
    """Return the token in the `Authorization` header of the handshake, or None."""
    scheme, token = get_authorization_scheme_param(websocket.headers.get("authorization"))
    return token if scheme.lower() == "bearer" else None


async def recheck(
    access: Authenticator, principal: Principal, seconds: float, error_frame: Callable[[OrchestratorError], str]
) -> None:
    """Check a client's credential every `seconds`. Raises `Hangup` once it is no longer valid."""
    while True:
        await asyncio.sleep(seconds)
        if not await access.still_valid(principal):
            fault = Unauthenticated("This credential was revoked or has expired")
            raise Hangup(UNAUTHENTICATED, "no longer authenticated", error_frame(fault))


async def converse(
    websocket: WebSocket,
    talk: Callable[[Line], Awaitable[None]],
    *,
    closing: asyncio.Event,
    metrics: SocketMetrics,
    connections: OpenConnections,
    limits: SocketLimits,
    query: frozenset[str] = frozenset(),
) -> None:
    """Accept a socket and run `talk` on it until the client, the dialect or the server (`closing`) ends it.

    Every task of the socket has ended when this returns. A handshake is refused for a query parameter that is not in
    `query`, and at the limit of open connections of the client's address or the process.
    """
    if (refusal := unknown_query(websocket, query)) is not None:
        await _refuse(websocket, refusal)
        return
    try:
        counted = Counted(connections, websocket)
    except (LimitExceeded, Unavailable) as fault:
        await _refuse(websocket, fault)
        return
    socket_id = websocket.state.request_id = request_id(websocket)
    with bound_contextvars(request_id=socket_id), metrics.open.track_inprogress():
        began, code = time.perf_counter(), INTERNAL_ERROR
        try:
            await websocket.accept(headers=[(b"x-request-id", socket_id.encode())])
            outbox = SendQueue(_sending(websocket), limits)
            line = partial(Line, websocket, outbox, counted=counted, limits=limits)
            end = await _until_end(line, talk, closing)
            code = end.code
            if isinstance(end, Hangup):
                await _hang_up(websocket, outbox, end, closing, limits.grace)
        finally:
            counted.release()
            metrics.closed(code)
            duration = round(time.perf_counter() - began, 4)
            log.info("socket_closed", path=websocket.scope["path"], code=code, duration=duration)


def _sending(websocket: WebSocket) -> Callable[[str], Awaitable[None]]:
    async def send(text: str) -> None:
        try:
            await websocket.send_text(text)
        except RuntimeError as error:  # the server closed the socket by itself: no pong came, or a broken frame
            raise WebSocketDisconnect(ABNORMAL) from error

    return send


async def _refuse(websocket: WebSocket, fault: OrchestratorError) -> None:
    websocket.state.refusal = fault  # the edge renders it, if the server can send an answer
    await websocket.close(POLICY_VIOLATION, fault.message)


async def _until_end(
    line_of: Callable[[asyncio.TaskGroup], Line], talk: Callable[[Line], Awaitable[None]], closing: asyncio.Event
) -> Hangup | WebSocketDisconnect:
    async def conversation(line: Line) -> None:
        await talk(line)
        raise Hangup(NORMAL, "")

    try:
        async with asyncio.TaskGroup() as tasks:
            line = line_of(tasks)
            tasks.create_task(line.outbox.run(), name="socket sender")
            tasks.create_task(_until_closing(closing), name="socket watch")
            tasks.create_task(conversation(line), name="socket reader")
    except ExceptionGroup as group:
        return _end_of(group)
    raise AssertionError("a conversation ends with a reason")


def _end_of(group: ExceptionGroup[Exception]) -> Hangup | WebSocketDisconnect:
    unexpected = [error for error in group.exceptions if not isinstance(error, Hangup | WebSocketDisconnect)]
    if unexpected:
        log.error("socket_failed", exc_info=unexpected[0])
        return Hangup(INTERNAL_ERROR, "internal error")
    disconnect = next((error for error in group.exceptions if isinstance(error, WebSocketDisconnect)), None)
    first = group.exceptions[0]
    return disconnect or (first if isinstance(first, Hangup) else Hangup(INTERNAL_ERROR, "internal error"))


async def _until_closing(closing: asyncio.Event) -> None:
    await closing.wait()
    raise Hangup(SERVICE_RESTART, "service restart")


async def _hang_up(websocket: WebSocket, outbox: SendQueue, end: Hangup, closing: asyncio.Event, grace: float) -> None:
    """Send the last frames and close. A client that does not read them has `grace` seconds."""
    try:
        async with asyncio.timeout(grace):
            if not closing.is_set():
                await outbox.drain(end.last)
            await websocket.close(end.code, end.reason)
    except (TimeoutError, WebSocketDisconnect, RuntimeError) as fault:
        log.debug("socket_not_closed", code=end.code, error=type(fault).__name__)
