"""The clients: one whose `chat` blocks, and one for asyncio. Both stream tokens with `async for`."""

from __future__ import annotations

from collections.abc import Callable
from types import EllipsisType, TracebackType
from typing import Self, Unpack

from ai_orchestra._messages import (
    ATTEMPT_TIMEOUT,
    CHAT_PATH,
    DEFAULT_TIMEOUT,
    ChatOptions,
    answer_of,
    body_of,
    config_of,
    options_of,
)
from ai_orchestra.models import ChatResponse
from ai_orchestra.tokens import TokenStream
from devora._async.transport import AsyncTransport
from devora._async.transport import Request as AsyncRequest
from devora._config import DEFAULT_MAX_RETRIES, Config
from devora._sync.transport import Request, Transport


class _Streaming:
    _config: Config

    def stream_chat(
        self,
        message: str,
        *,
        timeout: float | EllipsisType | None = ...,
        on_reset: Callable[[], None] | None = None,
        **chat: Unpack[ChatOptions],
    ) -> TokenStream:
        """The answer token by token: `async for token in client.stream_chat(message=…)`.

        A connection that breaks is made again, and the message is answered once. `on_reset` is called when the text so
        far is void and another one begins. The stream's `response` is the whole answer, once it has ended.
        """
        seconds = self._config.timeout if isinstance(timeout, EllipsisType) else timeout
        return TokenStream(self._config, message, chat, timeout=seconds, on_reset=on_reset)


class Client(_Streaming):
    """A client of AI Orchestra.

    `api_key` and `base_url` come from `AI_ORCHESTRA_API_KEY` and `AI_ORCHESTRA_BASE_URL` where they are left out.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        timeout: float | None = DEFAULT_TIMEOUT,
        max_retries: int = DEFAULT_MAX_RETRIES,
    ) -> None:
        self._config = config_of(api_key, base_url, timeout, max_retries)
        self._transport = Transport(self._config)

    def chat(
        self, message: str, *, timeout: float | EllipsisType | None = ..., **chat: Unpack[ChatOptions]
    ) -> ChatResponse:
        """Answer one message. Messages with the same `session_id` are one conversation."""
        request = Request(
            self._config,
            "POST",
            CHAT_PATH,
            body=body_of(message, chat),
            default_timeout=self._config.timeout,
            attempt_timeout=ATTEMPT_TIMEOUT,
            **options_of(timeout),
        )
        return answer_of(self._transport.send(request))

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(_Streaming):
    """The same for asyncio."""

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        timeout: float | None = DEFAULT_TIMEOUT,
        max_retries: int = DEFAULT_MAX_RETRIES,
    ) -> None:
        self._config = config_of(api_key, base_url, timeout, max_retries)
        self._transport = AsyncTransport(self._config)

    async def chat(
        self, message: str, *, timeout: float | EllipsisType | None = ..., **chat: Unpack[ChatOptions]
    ) -> ChatResponse:
        """Answer one message. Messages with the same `session_id` are one conversation."""
        request = AsyncRequest(
            self._config,
            "POST",
            CHAT_PATH,
            body=body_of(message, chat),
            default_timeout=self._config.timeout,
            attempt_timeout=ATTEMPT_TIMEOUT,
            **options_of(timeout),
        )
        return answer_of(await self._transport.send(request))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
