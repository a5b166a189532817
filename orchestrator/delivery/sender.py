"""Makes one signed POST to an address that was checked, and classifies the response (A10, D-100)."""

import asyncio
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Final

import httpx2
import structlog

from orchestrator.delivery import signing
from orchestrator.delivery.addresses import AddressRefused, Resolve, allowed_addresses, target
from orchestrator.delivery.connections import CONNECT_SECONDS, open_transport, request_to
from orchestrator.delivery.look_ups import LookUps
from orchestrator.domain.webhooks import DeliveryVerdict, Posted, Posting

log = structlog.get_logger(__name__)

_MAX_READ: Final = 4096
_READ_TIMEOUT: Final = 1.0
_MAX_WAIT: Final = 86400.0
_BUSY: Final = (httpx2.codes.TOO_MANY_REQUESTS, httpx2.codes.SERVICE_UNAVAILABLE)


class HttpWebhookSender:
    """The port `WebhookSender` over HTTP/1.1: no redirects, no proxy, no cookies, one connection per request.

    `timeout` in seconds covers the whole attempt, from the name's resolution to the status. `tls` sets the trusted
    certificates; by default those of the machine. `resolve` replaces the look-ups.
    """

    def __init__(
        self,
        *,
        allow_private: bool,
        timeout: float = 15.0,
        look_ups: LookUps | None = None,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | bool = True,
    ) -> None:
        self._allow_private = allow_private
        self._timeout = timeout
        self._look_ups = look_ups or LookUps()
        self._resolve = resolve
        self._transport = open_transport(tls)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()

    async def post(self, posting: Posting) -> Posted:
        """The result of one attempt. Failures of the receiver, its name or its network are results, not exceptions.

        Raises `Unavailable`, without an attempt, while too many look-ups of the owner are running. `error` contains no
        secret, and no address that is not in the URL.
        """
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._send(posting)
        except TimeoutError:
            response = f"no answer within {self._timeout:g} s"
        duration = clock() - started
        if isinstance(response, str):
            return Posted(verdict=DeliveryVerdict.RETRY, error=response, duration=duration)
        await _drain(response)
        return _posted(response.status_code, response.headers.get("Retry-After"), duration)

    async def _send(self, posting: Posting) -> httpx2.Response | str:
        """The response with its headers read, or the reason why there is none."""
        try:
            to = target(posting.url)
            resolve = self._resolve or partial(self._look_ups.resolve, posting.owner)
            addresses = await allowed_addresses(to, allow_private=self._allow_private, resolve=resolve)
        except AddressRefused as fault:
            return f"address refused: {fault.message}"
        raw = signing.signed_body(posting.body, posting.secrets)
        event = str(posting.body.get("event", ""))
        headers = signing.headers(posting.message_id, posting.at, raw, posting.secrets, event=event)
        error = f"the name {to.host} does not resolve"
        for address in addresses:
            try:
                return await self._transport.handle_async_request(request_to(to, address, "POST", headers, raw))
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as fault:
                error = _message(fault)  # Nothing was sent yet: try the next address.
            except (httpx2.TransportError, OSError) as fault:
                return _message(fault)
        return error


def retry_after(value: str | None, now: datetime) -> float | None:
    """The seconds of a `Retry-After` header, from 0 to a day; None for a missing or invalid one."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _MAX_WAIT)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):  # the parser's errors for invalid dates
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max((at - now).total_seconds(), 0.0), _MAX_WAIT)


async def _drain(response: httpx2.Response) -> None:
    """Read a little of the body, so that the receiver sees no aborted connection. Only the status counts."""
    read = 0
    try:
        async with asyncio.timeout(_READ_TIMEOUT):
            async for piece in response.aiter_raw():
                read += len(piece)
                if read >= _MAX_READ:
                    break
    except (httpx2.TransportError, OSError) as fault:
        log.debug("webhook_answer_cut_short", fault=type(fault).__name__)
    finally:
        await response.aclose()


def _posted(status: int, wait: str | None, duration: float) -> Posted:
    if 200 <= status < 300:
        return Posted(verdict=DeliveryVerdict.DELIVERED, status=status, duration=duration)
    error = f"HTTP {status}: redirects are not followed" if 300 <= status < 400 else f"HTTP {status}"
    return Posted(
        verdict=DeliveryVerdict.GONE if status == httpx2.codes.GONE else DeliveryVerdict.RETRY,
        status=status,
        error=error,
        retry_after=retry_after(wait, datetime.now(UTC)) if status in _BUSY else None,
        duration=duration,
    )


def _message(fault: Exception) -> str:
    """A message for a network error. The messages of the libraries contain addresses."""
    for cause in _causes(fault):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"TLS failed: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed: {cause.reason or 'no agreement'}"
    match fault:
        case httpx2.ConnectTimeout():
            return f"no connection within {CONNECT_SECONDS:g} s"
        case httpx2.ConnectError():
            return "connection refused or host unreachable"
        case httpx2.ProtocolError():
            return "no valid HTTP answer"
        case _:
            return "the connection broke off"


def _causes(fault: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = fault
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
