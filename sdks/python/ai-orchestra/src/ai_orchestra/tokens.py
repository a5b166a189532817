"""An answer token by token, over a WebSocket that is opened again when it breaks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote

from ai_orchestra._messages import ChatOptions, body_of, new_id
from ai_orchestra.models import ChatResponse
from devora._config import CONNECT_TIMEOUT, Config, log
from devora._responses import RawResponse
from devora._retries import Backoff, Deadline
from devora.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    DevoraError,
    frame_error,
    status_error,
)

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
    from websockets.exceptions import ConnectionClosed

_LARGEST_FRAME: Final = 2**26
_UNAUTHENTICATED: Final = 4401
_PASSING: Final = frozenset({"SERVICE_UNAVAILABLE", "INTERNAL_ERROR", "TIMEOUT_ERROR"})


class TokenStream:
    """An iterator over the tokens of one answer. `response` is the whole answer, once the iteration has ended."""

    def __init__(
        self,
        config: Config,
        message: str,
        chat: ChatOptions,
        *,
        timeout: float | None,
        on_reset: Callable[[], None] | None,
    ) -> None:
        self.response: ChatResponse | None = None
        self._config = config
        self._session_id = chat.get("session_id") or f"session-{new_id()}"
        data = body_of(message, chat)
        data.pop("session_id", None)
        if "user_context" in data:
            data["context"] = data.pop("user_context")
        self._frame = json.dumps({"type": "stream", "data": {**data, "request_id": new_id()}})
        self._deadline = Deadline(timeout)
        self._on_reset = on_reset
        self._yielded = ""
        self._live = True
        self._tokens = self._read()

    @property
    def session_id(self) -> str:
        """The session, which was made where none was given."""
        return self._session_id

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        return await anext(self._tokens)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Leave the answer and the connection."""
        await self._tokens.aclose()

    async def _read(self) -> AsyncGenerator[str, None]:
        backoff = Backoff(self._config.backoff)
        while self.response is None:
            try:
                async for token in self._connection():
                    backoff.reset()
                    self._yielded += token
                    yield token
            except DevoraError as fault:
                if not _passes(fault):
                    raise
                pause = max(fault.retry_after or 0.0, backoff.next())
                if not self._deadline.allows(pause):
                    raise
                log.info("stream of session %s broke off (%s)", self._session_id, fault.code or type(fault).__name__)
                # What is sent after a break may begin anywhere: the rest comes from the whole answer.
                self._live = not self._yielded
                await asyncio.sleep(pause)

    async def _connection(self) -> AsyncGenerator[str, None]:
        """The tokens of one connection."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

        base = "ws" + self._config.base_url.removeprefix("http")
        url = f"{base}/chat/ws/python-{new_id()}/{quote(self._session_id, safe='')}"
        headers = {"Authorization": f"Bearer {self._config.api_key}"}
        try:
            async with connect(
                url,
                additional_headers=headers,
                user_agent_header=self._config.headers["User-Agent"],
                max_size=_LARGEST_FRAME,
                open_timeout=self._deadline.remaining(CONNECT_TIMEOUT),
            ) as socket:
                await socket.send(self._frame)
                while self.response is None:
                    for token in self._tokens_of(await self._receive(socket)):
                        yield token
        except InvalidStatus as refused:
            answer = refused.response
            raise status_error(
                RawResponse(answer.status_code, dict(answer.headers.raw_items()), bytes(answer.body or b""))
            ) from refused
        except ConnectionClosed as closed:
            raise _closed(closed) from closed
        except (OSError, InvalidHandshake) as fault:
            if isinstance(fault, APITimeoutError):
                raise
            raise APIConnectionError(f"No answer over {base}/chat/ws: {fault or type(fault).__name__}") from fault

    async def _receive(self, socket: ClientConnection) -> dict[str, Any]:
        """The next frame. Raises `APITimeoutError` at the end of the call's time."""
        try:
            async with asyncio.timeout(self._deadline.remaining()):
                text = await socket.recv()
        except TimeoutError as fault:
            seconds = self._deadline.seconds
            raise APITimeoutError(f"The message was not answered within {seconds:g} seconds") from fault
        frame = json.loads(text)
        return frame if isinstance(frame, dict) else {}

    def _tokens_of(self, frame: dict[str, Any]) -> list[str]:
        """The new text of a frame. Raises `DevoraError` for an error."""
        data = frame.get("data") or {}
        match frame.get("type"):
            case "error":
                raise frame_error(data, None)
            case "stream" if data.get("reset"):
                self._reset()
            case "stream" if self._live and data.get("token"):
                return [data["token"]]
            case "chat":
                self.response = ChatResponse.from_wire(data)
                return self._rest(self.response.response or "")
        return []

    def _rest(self, answer: str) -> list[str]:
        """What is missing of the whole answer."""
        if not answer.startswith(self._yielded):
            self._reset()
        rest = answer.removeprefix(self._yielded)
        return [rest] if rest else []

    def _reset(self) -> None:
        if self._yielded and self._on_reset is not None:
            self._on_reset()
        self._yielded, self._live = "", True


def _closed(closed: ConnectionClosed) -> DevoraError:
    code = closed.rcvd.code if closed.rcvd else None
    if code == _UNAUTHENTICATED:
        return AuthenticationError(
            "The socket was closed: the key is not valid, or was revoked", code="AUTHENTICATION_ERROR"
        )
    return APIConnectionError(f"The socket was closed ({code or 'no close frame'})")


def _passes(fault: DevoraError) -> bool:
    """Whether to connect again may help."""
    if isinstance(fault, APITimeoutError):
        return False
    if isinstance(fault, APIConnectionError):
        return True
    return fault.code in _PASSING or fault.status in (408, 429, 500, 502, 503, 504)
