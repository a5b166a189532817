"""`WS /v1/ws`: live events of jobs over one socket per client (D-002, D-058 to D-064, C-46 to C-49)."""

import asyncio
from contextlib import aclosing
from functools import partial
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, WebSocket

from api.credentials import admit
from api.deps import ApiState, api_state, known_job_id
from api.errors import EXPECTED
from api.sockets import (
    AUTH_TIMEOUT,
    BAD_FRAMES,
    TRY_AGAIN_LATER,
    UNAUTHENTICATED,
    FrameCount,
    Hangup,
    Line,
    SocketLimits,
    TooSlow,
    bearer_of,
    converse,
    recheck,
    socket_limits,
)
from api.streaming import SharedFrames
from api.v1.envelope import envelope
from api.v1.events import whole_body
from api.v1.models import EventBody
from api.v1.rendering import delta_body, event_body
from api.v1.wire import Wire
from api.v1.ws_frames import (
    Auth,
    AuthOk,
    ClientFrame,
    ErrorFrame,
    EventFrame,
    JobUpdate,
    Ping,
    Pong,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
    changed,
    parsed,
)
from orchestrator.domain.access import Principal, Scope
from orchestrator.domain.deltas import Delta
from orchestrator.domain.errors import (
    InvalidInput,
    LimitExceeded,
    OrchestratorError,
    Unauthenticated,
    Unavailable,
    WrongState,
)
from orchestrator.domain.events import EventType, JobEvent
from orchestrator.services.container import Services
from orchestrator.services.jobs.follower import skipped

log = structlog.get_logger(__name__)

router = APIRouter()


@router.websocket("/v1/ws")
async def socket(websocket: WebSocket, limits: Annotated[SocketLimits, Depends(socket_limits)]) -> None:
    """Serve one client: authentication first, then subscriptions to jobs."""
    state = api_state(websocket.app)
    talk = partial(_talk, state, limits)
    await converse(
        websocket,
        talk,
        closing=state.closing,
        metrics=state.sockets,
        connections=state.connections,
        limits=limits,
    )


async def _talk(state: ApiState, limits: SocketLimits, line: Line) -> None:
    try:
        services = await state.source.services()
        principal = await _principal(services, limits, line)
        line.belongs_to(principal)
    except Unauthenticated as fault:
        raise Hangup(UNAUTHENTICATED, "authentication failed", _error(line, fault)) from fault
    except (LimitExceeded, Unavailable) as fault:
        raise Hangup(TRY_AGAIN_LATER, "try again later", _error(line, fault)) from fault
    await Conversation(line, services, principal, limits, state.socket_frames).run()


async def _principal(services: Services, limits: SocketLimits, line: Line) -> Principal:
    """Return the client of the handshake's header, or of the first frame. Raises `Unauthenticated`, `Unavailable`."""
    if (token := bearer_of(line.websocket)) is not None:
        return await admit(line.websocket, services, token)
    try:
        async with asyncio.timeout(limits.auth_timeout):
            raw = await line.receive()
    except TimeoutError:
        fault = Unauthenticated(f"No auth frame arrived within {limits.auth_timeout:g} seconds")
        raise Hangup(AUTH_TIMEOUT, "no auth frame in time", _error(line, fault)) from None
    try:
        frame = parsed(raw, limits.frame_bytes)
    except InvalidInput as fault:
        raise Unauthenticated(f"The first frame must be an auth frame. {fault.message}") from fault
    if not isinstance(frame, Auth):
        raise Unauthenticated(f"The first frame must be an auth frame, not {frame.type}")
    return await admit(line.websocket, services, frame.token)


class Conversation:
    """The frames of one authenticated client, and the answers to them."""

    def __init__(
        self,
        line: Line,
        services: Services,
        principal: Principal,
        limits: SocketLimits,
        shared: SharedFrames[str],
    ) -> None:
        self._line = line
        self._services = services
        self._principal = principal
        self._limits = limits
        self._shared = shared
        self._subscriptions: dict[str, asyncio.Task[None]] = {}
        self._frames = FrameCount(limits.frames_per_minute)
        self._bad = 0

    async def run(self) -> None:
        """Answer frame after frame. Raises `Hangup`, `WebSocketDisconnect`."""
        scopes = sorted(self._principal.scopes)
        await self._send(AuthOk(principal=self._principal.id, scopes=[str(scope) for scope in scopes]))
        checks = recheck(self._services.access, self._principal, self._limits.recheck, partial(_error, self._line))
        self._line.tasks.create_task(checks, name="socket recheck")
        while True:
            raw = await self._line.receive(busy=lambda: bool(self._subscriptions))
            try:
                self._frames.add()
                frame = await self._parse(raw)
                if frame is not None:
                    await self._answer(frame)
            except EXPECTED as fault:
                await self._refuse(fault)

    async def _parse(self, raw: str | bytes) -> ClientFrame | None:
        try:
            return parsed(raw, self._limits.frame_bytes)
        except InvalidInput as fault:
            self._bad += 1
            if self._bad >= self._limits.bad_frames:
                raise Hangup(BAD_FRAMES, "too many bad frames", _error(self._line, fault)) from fault
            await self._refuse(fault)
            return None

    async def _answer(self, frame: ClientFrame) -> None:
        match frame:
            case Auth():
                raise WrongState("This socket is already authenticated")
            case Ping():
                await self._send(Pong())
            case Subscribe():
                self._subscribe(frame)
            case Unsubscribe(job_id=job_id):
                if (task := self._subscriptions.pop(job_id, None)) is not None:
                    task.cancel()
                await self._send(Unsubscribed(job_id=job_id, reason="requested"))

    def _subscribe(self, frame: Subscribe) -> None:
        self._principal.require(Scope.JOBS_READ)
        job_id, most = known_job_id(frame.job_id), self._limits.subscriptions
        if job_id in self._subscriptions:
            raise WrongState(f"Already subscribed to {job_id}", job_id=job_id)
        if len(self._subscriptions) >= most:
            raise WrongState(f"At most {most} subscriptions on one socket", job_id=job_id)
        name = f"socket subscription {job_id}"
        self._subscriptions[job_id] = self._line.tasks.create_task(self._subscription(frame), name=name)

    async def _subscription(self, frame: Subscribe) -> None:
        job_id = frame.job_id
        try:
            end = await self._follow(frame)
        finally:
            if self._subscriptions.get(job_id) is asyncio.current_task():
                del self._subscriptions[job_id]
        if end is not None:
            await self._send(end)

    async def _follow(self, frame: Subscribe) -> Unsubscribed | None:
        """Send the events of a job. Returns the last frame, or None if the subscription was refused."""
        job_id, subscribed = frame.job_id, False
        try:
            after = await self._start(job_id, frame.after)
            await self._send(Subscribed(job_id=job_id))
            subscribed = True
            await self._stream(job_id, after, deltas=frame.deltas)
        except Unauthenticated as fault:
            raise Hangup(UNAUTHENTICATED, "no longer authenticated", _error(self._line, fault)) from fault
        except EXPECTED as fault:
            await self._refuse(fault, job_id)
            return Unsubscribed(job_id=job_id, reason="error") if subscribed else None
        return Unsubscribed(job_id=job_id, reason="ended")

    async def _start(self, job_id: str, after: str | None) -> str | None:
        """Return the cursor at which a subscription starts. `now` is the moment before `subscribed` is sent."""
        past = await self._services.follower.past(self._principal, job_id, None)
        start = skipped(past, after)
        return past[start - 1].id if start else None

    async def _stream(self, job_id: str, after: str | None, *, deltas: bool) -> None:
        before: EventBody | None = None
        async with aclosing(self._services.watcher.watch(self._principal, job_id, after, deltas=deltas)) as items:
            async for item in items:
                if isinstance(item, Delta):
                    await self._line.outbox.offer(delta_body(item).model_dump_json())
                    continue
                body = event_body(item)
                if changed(body, before):
                    await self._send(JobUpdate.of(body))
                if item.type is EventType.JOB_COMPLETED:
                    # It has the whole output, and all sockets get it at the same moment.
                    await self._queue(
                        await asyncio.shield(self._shared.of(item.id, partial(self._completed_frame, item)))
                    )
                else:
                    await self._send(EventFrame.of(body))
                before = body

    async def _completed_frame(self, event: JobEvent) -> str:
        body = await whole_body(self._services, self._principal, event)
        return EventFrame.of(body).model_dump_json()

    async def _refuse(self, fault: OrchestratorError, job_id: str | None = None) -> None:
        await self._queue(_error(self._line, fault, job_id))

    async def _send(self, frame: Wire) -> None:
        await self._queue(frame.model_dump_json())

    async def _queue(self, text: str) -> None:
        try:
            await self._line.outbox.put(text)
        except TooSlow as slow:
            message = "This client reads too slowly. Reconnect and subscribe with `after` set to the last id received"
            fault = LimitExceeded(message, limit="waiting_frames", retry_after=1)
            slow.last = _error(self._line, fault)
            raise


def _error(line: Line, fault: OrchestratorError, job_id: str | None = None) -> str:
    subject = job_id or fault.details.get("job_id")
    return ErrorFrame(job_id=subject, error=envelope(line.websocket, fault).error).model_dump_json()
