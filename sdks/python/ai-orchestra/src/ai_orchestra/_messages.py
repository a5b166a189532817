"""What both clients send, and how they read the answer."""

from __future__ import annotations

import secrets
from types import EllipsisType
from typing import Any, Final, TypedDict

from ai_orchestra.models import ChatResponse
from devora._config import CallOptions, Config
from devora._responses import RawResponse
from devora.errors import DevoraError

CHAT_PATH: Final = "/chat/v2/chat"
DEFAULT_TIMEOUT: Final = 600.0
# The server gives up its own wait after 120 seconds unless it is set to another time.
ATTEMPT_TIMEOUT: Final = 150.0


class ChatOptions(TypedDict, total=False):
    """How a message is answered."""

    session_id: str | None
    optimization_mode: str | None
    """`lite`, `balanced` or `quality`."""
    swarm_type: str | None
    """`coding-team`, `research-team`, `creative-team` or `coding-debate`."""
    use_memory: bool | None
    """Whether the agents are shown the session's earlier turns."""
    user_context: dict[str, Any] | None


def config_of(api_key: str | None, base_url: str | None, timeout: float | None, max_retries: int) -> Config:
    """The settings of a client."""
    return Config(
        api_key=api_key,
        base_url=base_url,
        timeout=timeout,
        max_retries=max_retries,
        default_headers=None,
        on_retry=None,
        product="ai-orchestra",
        key_variable="AI_ORCHESTRA_API_KEY",
        url_variable="AI_ORCHESTRA_BASE_URL",
        default_base_url="https://api.ai-orchestra.com",
        prefix="",
    )


def body_of(message: str, chat: ChatOptions) -> dict[str, Any]:
    """The message as it is sent; what is left out is the server's choice."""
    return {"message": message, **{name: value for name, value in chat.items() if value is not None}}


def new_id() -> str:
    """An id for a message: sent again with the same one, it is answered once."""
    return secrets.token_hex(16)


def options_of(timeout: float | EllipsisType | None) -> CallOptions:
    """The options of one message, which has an id of its own."""
    options: CallOptions = {"headers": {"X-Request-ID": new_id()}}
    if timeout is not ...:
        options["timeout"] = timeout
    return options


def answer_of(response: RawResponse) -> ChatResponse:
    """The answer. Raises `DevoraError` where there is none in the envelope."""
    body = response.parsed_body()
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, dict):
        raise DevoraError(
            f"The answer is not an envelope: {response.text[:100]!r}; check the base URL",
            status=response.status,
            request_id=response.request_id,
            body=body,
            response=response,
        )
    return ChatResponse.from_wire(data, response)
