"""Refusals of the HTTP edge, before any route: unknown hosts and origins, large headers, slow bodies, long requests."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import HeadersTooLarge, Render, UrlTooLong
from orchestrator.domain.errors import InvalidInput, OrchestratorError, Unavailable
from orchestrator.settings import Settings

MAX_POLL: Final = 60.0
MARGIN: Final = 30.0
POLICY_VIOLATION: Final = 1008  # WebSocket close code
PROBES: Final = frozenset({"/healthz", "/readyz"})
EXPOSED: Final = (
    "Idempotency-Replayed",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Job-Id",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Request-ID",
    "X-Should-Retry",
)
SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-XSS-Protection": "1; mode=block",
    "Referrer-Policy": "no-referrer",
}
_DATA_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
# The only pages are those of the API documentation. Their scripts are inline or served from here.
_PAGE_POLICY: Final = (
    "default-src 'none'; base-uri 'none'; connect-src 'self'; frame-ancestors 'none'; worker-src blob:; "
    "script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
)
_HSTS: Final = "max-age=31536000; includeSubDomains"


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """Limits of the HTTP edge, in seconds and bytes. The defaults accept every host name.

    `surfaces` are the names of the served surfaces; None serves all.
    """

    cors_origins: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ("*",)
    body_seconds: float = 30.0
    deadline_seconds: float = 120.0 + MARGIN
    max_body_bytes: int = 8 * 1024 * 1024
    max_url_bytes: int = 8 * 1024
    max_header_bytes: int = 32 * 1024
    max_query_parameters: int = 100
    root_path: str = ""
    surfaces: frozenset[str] | None = None
    metrics_key: SecretStr | None = None

    @classmethod
    def of(cls, settings: Settings) -> "ApiOptions":
        """Return the options of the settings. The deadline is longer than every route's own timeout."""
        return cls(
            cors_origins=_comma_separated(settings.cors_origins),
            trusted_hosts=_comma_separated(settings.trusted_hosts) or ("*",),
            max_body_bytes=2 * settings.max_input_bytes,
            deadline_seconds=max(settings.sync_timeout, MAX_POLL) + MARGIN,
            root_path=settings.root_path,
            surfaces=settings.served_surfaces(),
            metrics_key=settings.metrics_key,
        )


def _comma_separated(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def security_headers(scheme: str, content_type: str) -> dict[str, str]:
    """Return the security headers of an answer (M-054)."""
    policy = _PAGE_POLICY if content_type.startswith("text/html") else _DATA_POLICY
    secured = {"Strict-Transport-Security": _HSTS} if scheme == "https" else {}
    return {**SECURITY_HEADERS, "Content-Security-Policy": policy, **secured}


class Hardening:
    """All limits of the edge, in order. `options` is called when the application starts, not at import."""

    def __init__(self, app: ASGIApp, options: Callable[[], ApiOptions], render: Render) -> None:
        limits = options()
        app = Deadline(BodyTimeout(app, limits.body_seconds), limits.deadline_seconds, render)
        app = HeadLimits(app, limits, render)
        if "*" not in limits.trusted_hosts:
            app = TrustedHosts(app, limits.trusted_hosts, render)
        self._app = _cors(app, limits.cors_origins) if limits.cors_origins else app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._app(scope, receive, send)


def _cors(app: ASGIApp, origins: tuple[str, ...]) -> ASGIApp:
    """Allow browsers of these origins (M-052). Credentials are allowed for named origins only."""
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_credentials="*" not in origins,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=EXPOSED,
    )


class TrustedHosts:
    """Answers requests for these host names only (M-053). Probes, which use an address, are always answered."""

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...], render: Render) -> None:
        self._app = app
        self._render = render
        self._check = TrustedHostMiddleware(_no_app, hosts, www_redirect=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan" or scope["path"] in PROBES or await self._trusted(scope, receive):
            await self._app(scope, receive, send)
            return
        host = Headers(scope=scope).get("host", "")[:200]
        expected = "a name in ORCHESTRATOR_TRUSTED_HOSTS"
        fault = InvalidInput("This host name is not served here", field="Host", provided=host, expected=expected)
        await refuse(fault, self._render, scope, receive, send)

    async def _trusted(self, scope: Scope, receive: Receive) -> bool:
        messages: list[Message] = []

        async def collect(message: Message) -> None:
            messages.append(message)

        await self._check(scope, receive, collect)
        return not messages


async def _no_app(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Stand in for the application behind the check of host names, which sends messages only when it refuses."""


class HeadLimits:
    """Refuses a URL, header block or query that is larger than a legitimate caller needs."""

    def __init__(self, app: ASGIApp, options: ApiOptions, render: Render) -> None:
        self._app = app
        self._options = options
        self._render = render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        fault = None if scope["type"] == "lifespan" else self._fault(scope)
        if fault is None:
            await self._app(scope, receive, send)
        else:
            await refuse(fault, self._render, scope, receive, send)

    def _fault(self, scope: Scope) -> InvalidInput | None:
        limits, query = self._options, scope["query_string"]
        path = scope.get("raw_path") or scope["path"].encode()
        if len(path) + len(query) + 1 > limits.max_url_bytes:
            expected = f"at most {limits.max_url_bytes} bytes"
            return UrlTooLong(f"The URL is longer than {limits.max_url_bytes} bytes", field="url", expected=expected)
        if sum(len(name) + len(value) + 4 for name, value in scope["headers"]) > limits.max_header_bytes:
            expected = f"at most {limits.max_header_bytes} bytes"
            message = f"The headers are larger than {limits.max_header_bytes} bytes"
            return HeadersTooLarge(message, field="headers", expected=expected)
        if query.count(b"&") >= limits.max_query_parameters:
            expected = f"at most {limits.max_query_parameters} parameters"
            return InvalidInput("The query has too many parameters", field="query", expected=expected)
        return None


class BodyTimeout:
    """Refuses a body that does not arrive in time, and closes its connection (slow loris).

    The error is raised where the route reads its body, so that it has the shape of the route's dialect.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        give_up_at = asyncio.get_running_loop().time() + self._seconds
        arrived = late = False

        async def timed() -> Message:
            nonlocal arrived, late
            if arrived:
                return await receive()
            try:
                async with asyncio.timeout_at(give_up_at):
                    message = await receive()
            except TimeoutError:
                late = True
                raise HTTPException(408, f"The body did not arrive within {self._seconds:g} seconds") from None
            arrived = not message.get("more_body", False)
            return message

        async def answer(message: Message) -> None:
            if late and message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, timed, answer)


class Deadline:
    """Ends every request except event streams at the server's deadline. Work that it started in Temporal continues."""

    def __init__(self, app: ASGIApp, seconds: float, render: Render) -> None:
        self._app = app
        self._seconds = seconds
        self._render = render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = False
        try:
            async with asyncio.timeout(self._seconds) as limit:

                async def answer(message: Message) -> None:
                    nonlocal began
                    if message["type"] == "http.response.start":
                        began = True
                        if Headers(raw=message.get("headers", [])).get("content-type", "").startswith("text/event-"):
                            limit.reschedule(None)
                    await send(message)

                await self._app(scope, receive, answer)
        except TimeoutError:
            if began or not limit.expired():
                raise
            fault = Unavailable(f"No answer within {self._seconds:g} seconds", retry_after=MARGIN)
            await refuse(fault, self._render, scope, receive, send)


async def refuse(fault: OrchestratorError, render: Render, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request or a handshake with an error before any route sees it."""
    if scope["type"] == "websocket":
        scope["state"]["refusal"] = fault  # the edge renders it, if the server can send an answer
        await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": fault.message})
    else:
        await render(Request(scope), fault)(scope, receive, send)
