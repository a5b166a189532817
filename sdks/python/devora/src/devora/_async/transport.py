"""Sends requests: attempts, pauses between them, the deadline over all, one idempotency key."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Unpack

from devora._async import runtime
from devora._config import CONNECT_TIMEOUT, CallOptions, Config, Retry, checked_headers, log
from devora._responses import LARGEST_ANSWER, RawResponse
from devora._retries import AWAY_STATUSES, Backoff, Deadline, is_retried
from devora.errors import (
    APIConnectionError,
    APITimeoutError,
    ConfigurationError,
    DevoraError,
    InvalidRequestError,
    status_error,
    too_large,
    unexpected,
)

if TYPE_CHECKING:
    import httpx2

_MAX_CONNECTIONS = 1000
# By name, so that neither `ssl` nor the HTTP library is imported before a client is made.
_FINAL = frozenset({"SSLCertVerificationError", "UnsupportedProtocol", "LocalProtocolError", "InvalidURL"})


class Request:
    """One call: its request and its options."""

    __slots__ = (
        "attempt_timeout",
        "body",
        "deadline",
        "headers",
        "max_retries",
        "method",
        "path",
        "persistent",
        "query",
        "repeated_body",
        "url",
    )

    def __init__(
        self,
        config: Config,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        default_timeout: float | None = None,
        attempt_timeout: float | None = None,
        at_root: bool = False,
        **options: Unpack[CallOptions],
    ) -> None:
        self.method = method
        self.path = path
        self.url = (config.root_url if at_root else config.base_url) + path
        self.query = {name: _query_text(value) for name, value in (query or {}).items() if value is not None}
        self.body = body
        self.repeated_body = body
        """The body of retries, if it differs."""
        self.attempt_timeout = attempt_timeout
        """Seconds that one attempt may take, if the whole call may take longer."""
        self.persistent = False
        """Whether the call waits for a job: once an answer was lost, it is retried until its deadline while the server
        is away."""
        self.deadline = Deadline(options.get("timeout", default_timeout))
        self.max_retries = options.get("max_retries", config.max_retries)
        headers = dict(options.get("headers", {}))
        if method == "POST":
            headers["Idempotency-Key"] = options.get("idempotency_key") or f"auto_{secrets.token_hex(16)}"
        self.headers = checked_headers(headers)


class AsyncTransport:
    """Sends requests of one client over one pool of connections."""

    def __init__(self, config: Config, http_client: httpx2.AsyncClient | None = None) -> None:
        import httpx2

        self.config = config
        self._httpx2 = httpx2
        self._http_client = http_client
        self._pools: runtime.Pools[httpx2.AsyncClient] = runtime.Pools()
        self._closed = False

    async def aclose(self) -> None:
        """Close the connections, unless the caller passed them."""
        self._closed = True
        pool = self._pools.current()
        if pool is not None:
            await pool.aclose()

    def _http(self) -> httpx2.AsyncClient:
        """The connections that may be used here: neither those of another event loop nor of the process before a
        fork. Raises `ConfigurationError` if they are closed."""
        http = self._http_client or self._pools.current()
        if self._closed or (http is not None and http.is_closed):
            raise ConfigurationError("The client is closed: make another one", code="client_closed")
        if http is None:
            limits = self._httpx2.Limits(max_connections=_MAX_CONNECTIONS, max_keepalive_connections=100)
            http = self._pools.add(self._httpx2.AsyncClient(limits=limits))
        return http

    async def send(self, request: Request) -> RawResponse:
        """Return the response. Raises `APIStatusError` for an error status, `APIConnectionError` without a response."""
        backoff = Backoff(self.config.backoff)
        attempt, lost = 1, False
        while True:
            try:
                response = await self._attempt(request, attempt)
                if 200 <= response.status < 300:
                    return response
                if response.status == 404 and request.method == "DELETE" and lost:
                    return response  # gone: an earlier attempt deleted it, but its answer was lost
                error: DevoraError = status_error(response)
                again = is_retried(response.status, response.headers) and not _job_continues(error)
            except APIConnectionError as fault:
                error, again = fault, fault.retryable
                lost = lost or fault.sent
            pause = max(error.retry_after or 0.0, backoff.next())
            unlimited = request.persistent and lost and request.max_retries > 0 and is_away(error)
            tries_left = attempt <= request.max_retries or unlimited
            if not again or not tries_left or not request.deadline.allows(pause):
                raise error
            reason = error.code or error.status or type(error).__name__
            log.info(
                "%s %s failed (%s); attempt %d in %.2f s", request.method, request.path, reason, attempt + 1, pause
            )
            if self.config.on_retry is not None:
                self.config.on_retry(Retry(request.method, request.path, attempt, pause, error))
            await runtime.sleep(pause)
            attempt += 1

    async def _attempt(self, request: Request, attempt: int) -> RawResponse:
        started = time.monotonic()
        headers = {"X-Devora-Retry-Count": str(attempt - 1)} if attempt > 1 else {}
        content = request.body if attempt == 1 else request.repeated_body
        body = bytearray()
        limit = Deadline(request.deadline.remaining(request.attempt_timeout))
        try:
            async with (
                runtime.limit(request.deadline.remaining(request.attempt_timeout)),
                self._answer(request, headers, content, request.attempt_timeout) as answer,
            ):
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > LARGEST_ANSWER:
                        raise too_large(f"The answer to {request.method} {request.path}")
                    if limit.remaining() == 0:
                        raise _timed_out(request)
        except APITimeoutError:
            raise
        except TimeoutError as fault:
            raise _timed_out(request, fault) from fault
        seconds = time.monotonic() - started
        response = RawResponse(
            answer.status_code,
            answer.headers,
            bytes(body),
            reason=answer.reason_phrase,
            attempts=attempt,
            seconds=seconds,
        )
        log.debug(
            "%s %s %d attempt %d %.3f s %s",
            request.method,
            request.path,
            response.status,
            attempt,
            seconds,
            response.request_id,
        )
        return response

    @asynccontextmanager
    async def _answer(
        self, request: Request, headers: Mapping[str, str], body: Any, silence: float | None
    ) -> AsyncIterator[httpx2.Response]:
        """The answer, whose body is to be read inside. `silence` is the longest time without a byte."""
        httpx2 = self._httpx2
        read_timeout = request.deadline.remaining(silence)
        try:
            http = self._http()
            built = http.build_request(
                request.method,
                request.url,
                params=request.query or None,
                json=body,
                headers={**self.config.headers, **request.headers, **headers},
                timeout=httpx2.Timeout(read_timeout, connect=request.deadline.remaining(CONNECT_TIMEOUT)),
            )
            answer = await http.send(built, stream=True, follow_redirects=False)
            try:
                yield answer
            finally:
                await answer.aclose()
        except httpx2.TimeoutException as fault:
            raise _timed_out(request, fault) from fault
        except (httpx2.TransportError, httpx2.DecodingError, httpx2.InvalidURL) as fault:
            reason = str(fault) or type(fault).__name__
            error = APIConnectionError(
                f"No answer to {request.method} {request.path} from {self.config.root_url}: {reason}{self._hint(fault)}"
            )
            error.retryable = not _is_final(fault)
            error.sent = error.retryable and not isinstance(fault, httpx2.ConnectError)
            raise error from fault

    def _hint(self, fault: Exception) -> str:
        """What to do about a server that cannot be reached."""
        if not isinstance(fault, self._httpx2.ConnectError) or _is_final(fault):
            return ""
        return f"; is the server running? {self.config.url_variable} selects another"

    @asynccontextmanager
    async def stream(self, request: Request, stall_timeout: float) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes of an endless answer, in one attempt. Silence of `stall_timeout` seconds is an `APITimeoutError`;
        raises as `send` does."""
        async with self._answer(request, {}, request.body, stall_timeout) as answer:
            status, kind = answer.status_code, answer.headers.get("content-type", "")
            log.debug("%s %s %d stream %s", request.method, request.path, status, answer.headers.get("x-request-id"))
            if not 200 <= status < 300:
                body = bytearray()
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > LARGEST_ANSWER:
                        break
                raise status_error(RawResponse(status, answer.headers, bytes(body), reason=answer.reason_phrase))
            if not kind.startswith("text/event-stream"):
                response = RawResponse(status, answer.headers, b"")
                raise unexpected(f"The answer is not an event stream but {kind}; check the base URL", response)
            yield answer.aiter_bytes()


def _job_continues(error: DevoraError) -> bool:
    """Return whether the synchronous wait of the server ended. A retry would only wait again."""
    return error.job_id is not None and error.status == 503


def is_away(error: DevoraError) -> bool:
    """Return whether the server, or what stands before it, cannot answer for a while."""
    return isinstance(error, APIConnectionError) or error.status in AWAY_STATUSES


def _timed_out(request: Request, fault: Exception | None = None) -> APITimeoutError:
    seconds = request.deadline.seconds
    if request.deadline.remaining() == 0:
        error = APITimeoutError(f"{request.method} {request.path} was not answered within {seconds:g} seconds")
    else:
        reason = "in time" if fault is None else f"({type(fault).__name__})"
        error = APITimeoutError(f"{request.method} {request.path} was not answered {reason}")
    error.sent = type(fault).__name__ not in ("ConnectTimeout", "PoolTimeout")
    return error


def _is_final(fault: BaseException) -> bool:
    """Return whether a retry would fail in the same way."""
    cause: BaseException | None = fault
    while cause is not None:
        if type(cause).__name__ in _FINAL:
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _query_text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple | set | frozenset):
        return [_query_text(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


def refuse_empty(name: str, value: str) -> str:
    """Return a part of a path. Raises `InvalidRequestError` for an empty one, which would be the path of the list."""
    from urllib.parse import quote

    if not value or value in (".", ".."):
        raise InvalidRequestError(
            f"{name} is empty" if not value else f"{name} is {value!r}", code="invalid_request", details={"field": name}
        )
    return quote(value, safe="")
