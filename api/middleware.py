"""Middleware of every request, as plain ASGI: request id, metrics, log line, security headers, size limit."""

import re
import secrets
import time
from collections.abc import Callable
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars, unbind_contextvars

from api.errors import RETRY_AFTER, WAITING_STATUSES, Render, internal
from api.hardening import PROBES, security_headers
from api.limits import allowance_of, limit_headers
from orchestrator.domain.errors import NotFound
from orchestrator.security.redaction import without_secrets

log = structlog.get_logger(__name__)

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:\-]{1,128}")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NO_ROUTE: Final = "(none)"
SMALL_BODY_BYTES: Final = 256 * 1024
_START_PATH: Final = re.compile(r"/(execute|run|chat|executions|decisions|execute-workflow)/?$")


def request_id(connection: HTTPConnection) -> str:
    """Return the id of a request or socket: the caller's own, or a new one (D-096)."""
    return str(getattr(connection.state, "request_id", "")) or _request_id_of(connection.headers)


def _request_id_of(headers: Headers) -> str:
    requested = headers.get("x-request-id", "")
    return requested if _REQUEST_ID.fullmatch(requested) else f"req_{secrets.token_hex(10)}"


class RequestEdge:
    """Sets the request id and security headers (M-054), and answers exceptions that nothing else caught."""

    def __init__(self, app: ASGIApp, render: Render) -> None:
        self._app = app
        self._render = render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        new_id = _request_id_of(Headers(scope=scope))
        scope.setdefault("state", {})["request_id"] = new_id
        if scope["type"] == "websocket":
            await self._app(scope, receive, Handshake(scope, receive, send, self._render).answer)
            return
        began = False

        async def answer(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                _complete(scope, message)
            await send(message)

        with bound_contextvars(request_id=new_id):
            try:
                await self._app(scope, receive, answer)
            except Exception:
                log.exception("request_failed", path=scope["path"])
                if began:
                    raise
                await self._render(Request(scope), internal())(scope, receive, answer)
            finally:
                unbind_contextvars("principal", "job_id")


class Handshake:
    """Messages to a socket's client. If the server supports it, a refused handshake gets an answer in the shape of its
    surface, with the request id, instead of an empty 403."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, render: Render) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._render = render
        self._open = "websocket.http.response" not in (scope.get("extensions") or {})

    async def answer(self, message: Message) -> None:
        """Send one message, or the error response of a refused handshake."""
        self._open = self._open or message["type"] == "websocket.accept"
        if message["type"] != "websocket.close" or self._open:
            await self._send(message)
            return
        fault = self._scope["state"].get("refusal") or NotFound("There is no socket at this path")
        request = Request({**self._scope, "type": "http", "method": "GET"})
        await self._render(request, fault)(self._scope, self._receive, self._answer_part)

    async def _answer_part(self, message: Message) -> None:
        if message["type"] == "websocket.http.response.start":
            _complete(self._scope, message)
        await self._send(message)


def _complete(scope: Scope, message: Message) -> None:
    """Add the headers that every response has."""
    headers = MutableHeaders(scope=message)
    for name, value in security_headers(scope["scheme"], headers.get("content-type", "")).items():
        headers.setdefault(name, value)  # the operators' page sets stricter ones
    headers.update({**limit_headers(scope), "X-Request-ID": scope["state"]["request_id"]})
    # Any answer may contain a secret or the input of a job. A route whose answer may be cached sets its own header.
    headers.setdefault("Cache-Control", "no-store")
    if message["status"] in WAITING_STATUSES:
        headers.setdefault("Retry-After", RETRY_AFTER)


class HttpMetrics:
    """The instruments of the HTTP layer, in the registry of one application."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("method", "route", "status")
        self.requests = Counter(
            "orchestrator_http_requests", "Requests answered, by route template.", labels, registry=registry
        )
        self.documented = Counter("http_requests", "Total HTTP requests", ("method", "endpoint"), registry=registry)
        self.seconds = Histogram(
            "orchestrator_http_response_seconds",
            "Seconds until the response began, by route template.",
            labels,
            registry=registry,
        )
        self.in_flight = Gauge(
            "orchestrator_http_requests_in_flight", "Requests being answered now, streams included.", registry=registry
        )
        self.uncounted = Counter(
            "orchestrator_limiter_unavailable",
            "Requests let through uncounted because Redis did not answer.",
            registry=registry,
        )


class Observation:
    """Counts and times every request, and writes one log line at its end; none for a health probe."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin = time.perf_counter()
        status, until_response = 500, 0.0

        async def answer(message: Message) -> None:
            nonlocal status, until_response
            if message["type"] == "http.response.start":
                status, until_response = message["status"], time.perf_counter() - begin
            await send(message)

        with self._metrics.in_flight.track_inprogress():
            try:
                await self._app(scope, receive, answer)
            finally:
                duration = time.perf_counter() - begin
                self._record(scope, status, until_response or duration, duration)

    def _record(self, scope: Scope, status: int, until_response: float, duration: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        route = getattr(scope.get("route"), "path", _NO_ROUTE)
        self._metrics.requests.labels(method, route, status).inc()
        self._metrics.documented.labels(method, route).inc()
        self._metrics.seconds.labels(method, route, status).observe(until_response)
        if (allowance := allowance_of(scope)) is not None and not allowance.counted:
            self._metrics.uncounted.inc()
        if scope["path"] in PROBES:  # they come every few seconds, and would hide the other lines
            return
        client = scope.get("client")
        log.info(
            "request",
            method=scope["method"],
            route=route,
            path=without_secrets(scope["path"]),
            status=status,
            duration=round(duration, 4),
            client=client[0] if client else None,
            surface=scope["state"].get("surface"),
        )


class BodyLimit:
    """Refuses compressed and too large bodies, declared or chunked, while they are read.

    Parsing a body blocks the event loop. Only requests that start a job may be as large as an input.
    The error is raised where the route reads its body, so that it has the shape of the route's dialect.
    """

    def __init__(self, app: ASGIApp, limit: Callable[[], int]) -> None:
        """`limit` returns the limit in bytes of a body that starts a job. It is called when the application starts."""
        self._app = app
        self._limit = limit()
        self._small = min(self._limit, SMALL_BODY_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        declared, encoding = headers.get("content-length", ""), headers.get("content-encoding", "identity")
        maximum = self._limit if _START_PATH.search(scope["path"]) else self._small
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            if message["type"] == "http.request":
                size += len(message.get("body", b""))
                if size and encoding.strip().lower() not in ("", "identity"):
                    raise HTTPException(
                        415, f"Content-Encoding {encoding[:40]!r} is not supported; send the body as it is"
                    )
                if max(size, int(declared) if declared.isdecimal() else 0) > maximum:
                    raise HTTPException(413, f"The body is larger than {maximum} bytes")
            return message

        await self._app(scope, counted, send)
