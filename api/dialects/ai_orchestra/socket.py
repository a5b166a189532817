"""`WS /chat/ws/{client_id}/{session_id}`: real-time chat in one session (A-019 to A-025, C-47)."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing
from functools import partial
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, WebSocket
from structlog.contextvars import bind_contextvars

from api.audit_trail import audited
from api.credentials import admit
from api.deps import ServiceSource, api_state
from api.dialects.ai_orchestra import mapping
from api.dialects.ai_orchestra.errors import fault as error_body
from api.dialects.ai_orchestra.frames import (
    COMMANDS,
    Chat,
    ClientFrame,
    Command,
    Control,
    MessageData,
    ServerFrame,
    Stream,
    parsed,
)
from api.dialects.ai_orchestra.models import MAX_SESSION_ID_LENGTH
from api.errors import EXPECTED
from api.limits import count_request
from api.sockets import (
    BAD_FRAMES,
    TRY_AGAIN_LATER,
    UNAUTHENTICATED,
    Hangup,
    Line,
    SocketLimits,
    bearer_of,
    converse,
    recheck,
    socket_limits,
)
from orchestrator.domain.access import Principal, Scope
from orchestrator.domain.deltas import Delta, DeltaKind
from orchestrator.domain.errors import (
    InvalidInput,
    LimitExceeded,
    OrchestratorError,
    Unauthenticated,
    Unavailable,
    WrongState,
)
from orchestrator.domain.limits import SurfaceLimit
from orchestrator.services.chat.conversations import ChatMessage, Turn
from orchestrator.services.container import Services

router = APIRouter()

_MAX_WAITING: Final = 8
_BUSY_RETRY: Final = 5.0
_Message = Chat | Stream | Command


@router.websocket("/chat/ws/{client_id}/{session_id}")
async def socket(
    websocket: WebSocket, client_id: str, session_id: str, limits: Annotated[SocketLimits, Depends(socket_limits)]
) -> None:
    """Serve one client: authentication first, then messages, answered one after another."""
    state = api_state(websocket.app)
    bind_contextvars(client_id=client_id[:MAX_SESSION_ID_LENGTH])
    talk = partial(_talk, state.source, session_id, limits)
    await converse(
        websocket,
        talk,
        closing=state.closing,
        metrics=state.sockets,
        connections=state.connections,
        limits=limits,
        query=frozenset({"token"}),
    )


async def _talk(source: ServiceSource, session_id: str, limits: SocketLimits, line: Line) -> None:
    try:
        services = await source.services()
        if len(session_id) > MAX_SESSION_ID_LENGTH:
            expected = f"at most {MAX_SESSION_ID_LENGTH} characters"
            fault = InvalidInput("The session id is too long", field="session_id", expected=expected)
            raise Hangup(BAD_FRAMES, "session id too long", _error(fault))
        principal = await _principal(services, limits, line)
        principal.require(Scope.WORKFLOWS_RUN)
        line.belongs_to(principal)
    except (LimitExceeded, Unavailable) as fault:
        raise Hangup(TRY_AGAIN_LATER, "try again later", _error(fault)) from fault
    except EXPECTED as fault:
        raise Hangup(UNAUTHENTICATED, "authentication failed", _error(fault)) from fault
    await Talk(line, services, principal, session_id, limits).run()


async def _principal(services: Services, limits: SocketLimits, line: Line) -> Principal:
    """Return the client of the handshake's header, its `token` or the first frame. Raises `Unauthenticated`."""
    token = bearer_of(line.websocket)
    if token is None:
        token = line.websocket.query_params.get("token")
    if token is not None:
        return await admit(line.websocket, services, token)
    try:
        async with asyncio.timeout(limits.auth_timeout):
            frame = parsed(await line.receive(), limits.frame_bytes)
    except TimeoutError:
        raise Unauthenticated(f"No control frame with a token arrived in {limits.auth_timeout:g} seconds") from None
    except InvalidInput as fault:
        raise Unauthenticated(f"The first frame must be a control frame with a token. {fault.message}") from fault
    if not isinstance(frame, Control) or frame.data.action != "auth":
        raise Unauthenticated('The first frame must be {"type": "control", "data": {"action": "auth", "token": …}}')
    principal = await admit(line.websocket, services, frame.data.token)
    await line.outbox.put(_frame("control", action="auth", status="authenticated"))
    return principal


class Talk:
    """The messages of one authenticated client, answered in order. Pings and `cancel` are answered at once."""

    def __init__(
        self, line: Line, services: Services, principal: Principal, session_id: str, limits: SocketLimits
    ) -> None:
        self._line = line
        self._services = services
        self._principal = principal
        self._session_id = session_id
        self._limits = limits
        self._connection = uuid.uuid4().hex
        self._messages: asyncio.Queue[_Message] = asyncio.Queue(_MAX_WAITING)
        self._job_id: str | None = None
        self._bad = 0
        self._answering = False

    async def run(self) -> None:
        """Handle frame after frame. Raises `Hangup`, `WebSocketDisconnect`."""
        self._line.tasks.create_task(self._answer_all(), name="chat answers")
        checks = recheck(self._services.access, self._principal, self._limits.recheck, _error)
        self._line.tasks.create_task(checks, name="chat recheck")
        while True:
            raw = await self._line.receive(busy=lambda: self._answering)
            try:
                await self._count()
                await self._handle(parsed(raw, self._limits.frame_bytes))
            except InvalidInput as fault:
                self._bad += 1
                if self._bad >= self._limits.bad_frames:
                    raise Hangup(BAD_FRAMES, "too many bad frames", _error(fault)) from fault
                await self._line.outbox.put(_error(fault))
            except EXPECTED as fault:
                await self._line.outbox.put(_error(fault))

    async def _count(self) -> None:
        """Count a message: 100 a minute (A-007); further ones are dropped (A-025). Raises `LimitExceeded`."""
        allowance = await self._services.limits.admit_surface(SurfaceLimit.CHAT_SOCKET, self._connection)
        if allowance.retry_after is not None:
            raise LimitExceeded(
                f"At most {allowance.limit} messages a minute on one connection; this one is dropped",
                limit="messages",
                retry_after=allowance.retry_after,
            )

    async def _handle(self, frame: ClientFrame) -> None:
        match frame:
            case Control():
                await self._control(frame)
            case Command() if frame.data.command == "help":
                await self._send("command", command="help", commands=COMMANDS)
            case Command() if frame.data.command == "cancel":
                async with self._audited("cancel"):
                    await self._cancel()
            case _:
                try:
                    self._messages.put_nowait(frame)
                except asyncio.QueueFull:
                    raise LimitExceeded(
                        f"{_MAX_WAITING} messages are already waiting", limit="session", retry_after=_BUSY_RETRY
                    ) from None

    async def _control(self, frame: Control) -> None:
        match frame.data.action:
            case "ping":
                await self._send("control", action="pong")
            case "status":
                waiting = self._messages.qsize()
                ids = {"session_id": self._session_id, "principal": self._principal.id, "job_id": self._job_id}
                await self._send("control", action="status", status="connected", waiting=waiting, **ids)
            case "auth":
                raise WrongState("This socket is already authenticated")
            case _:
                return

    async def _cancel(self) -> None:
        if self._job_id is None:
            raise WrongState("No message is being answered")
        await self._services.controller.cancel(self._principal, self._job_id, "cancelled over the chat socket")
        await self._send("command", command="cancel", job_id=self._job_id)

    async def _answer_all(self) -> None:
        while True:
            frame = await self._messages.get()
            self._answering = True
            try:
                await self._answer(frame)
            except EXPECTED as fault:
                await self._line.outbox.put(_error(fault))
            finally:
                self._job_id, self._answering = None, False

    async def _answer(self, frame: _Message) -> None:
        conversations = self._services.conversations
        if isinstance(frame, Command):
            if frame.data.command == "reset":
                async with self._audited("reset"):
                    await conversations.reset(self._principal, self._session_id)
                await self._send("command", command="reset")
                return
            memory = await conversations.history(self._principal, self._session_id)
            turns = [turn.model_dump(mode="json") for turn in memory.turns]
            await self._send("command", command="history", session_id=self._session_id, turns=turns)
            return
        async with self._audited(frame.type):
            # A key that was revoked since the last check must not be charged for another turn.
            if not await self._services.access.still_valid(self._principal):
                fault = Unauthenticated("This credential was revoked or has expired")
                raise Hangup(UNAUTHENTICATED, "no longer authenticated", _error(fault))
            await count_request(self._line.websocket, self._services, self._principal)
            await self._answer_message(frame)

    async def _answer_message(self, frame: Chat | Stream) -> None:
        conversations = self._services.conversations
        started = await conversations.begin(self._principal, self._message(frame.data))
        self._job_id = started.job_id
        if isinstance(frame, Chat):
            await self._reply(await conversations.answer(self._principal, started))
            return
        async with aclosing(conversations.stream(self._principal, started)) as pieces:
            await self._stream(pieces)

    def _audited(self, action: str) -> AbstractAsyncContextManager[None]:
        return audited(self._services, self._line.websocket, self._principal, action)

    async def _stream(self, pieces: AsyncGenerator[Delta | Turn]) -> None:
        """Send tokens as they arrive, then those that were lost, then the whole answer."""
        text, index = "", 0
        async for piece in pieces:
            if isinstance(piece, Turn):
                rest = piece.answer.removeprefix(text) if piece.answer.startswith(text) else ""
                await self._send("stream", token=rest, index=index, done=True)
                await self._reply(piece)
            elif piece.kind is DeltaKind.RESET:
                text, index = "", 0
                await self._send("stream", token="", index=0, done=False, reset=True)  # no password  # nosec B106
            else:
                text += piece.text
                await self._send("stream", token=piece.text, index=index, done=False)
                index += 1

    def _message(self, data: MessageData) -> ChatMessage:
        return ChatMessage(
            text=data.message,
            session_id=self._session_id,
            mode=data.optimization_mode,
            swarm=data.swarm_type,
            use_memory=data.use_memory,
            user_context=data.context,
            request_id=data.request_id,
        )

    async def _reply(self, turn: Turn) -> None:
        data = mapping.from_turn(turn).model_dump(mode="json")
        await self._send("chat", **data)

    async def _send(self, type: Literal["chat", "command", "control", "stream"], **data: object) -> None:
        await self._line.outbox.put(_frame(type, **data))


def _frame(type: Literal["chat", "command", "control", "stream"], **data: object) -> str:
    return ServerFrame(type=type, data=data).model_dump_json()


def _error(fault: OrchestratorError) -> str:
    return ServerFrame(type="error", data=error_body(fault).model_dump(mode="json")).model_dump_json()
