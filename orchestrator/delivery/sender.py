"""Makes one signed POST to the very address that was checked, and says what its answer means (A10, D-100)."""

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
from orchestrator.delivery.addresses import AddressRefused, Resolve, Target, checked, target
from orchestrator.delivery.look_ups import LookUps
from orchestrator.domain.webhooks import DeliveryVerdict, Posted, Posting

log = structlog.get_logger(__name__)

_CONNECT_TIMEOUT: Final = 5.0
_MOST_READ: Final = 4096
_READ_TIMEOUT: Final = 1.0
_LONGEST_WAIT: Final = 86400.0
_BUSY: Final = (httpx2.codes.TOO_MANY_REQUESTS, httpx2.codes.SERVICE_UNAVAILABLE)


class HttpWebhookSender:
    """The port `WebhookSender` over HTTP/1.1: no redirect, no proxy, no cookie, each request on its own connection.

    `timeout` is for the whole attempt, from the name's resolution to the status, in seconds. `tls` decides which
    certificates count; by default those that the machine trusts. `resolve` takes the place of the look-ups.
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
        # A connection kept open would be found again by its address alone, whatever name its certificate was for.
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
        self._transport = httpx2.AsyncHTTPTransport(verify=tls, limits=limits)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()

    async def post(self, posting: Posting) -> Posted:
        """What came of it; never raises for what the receiver, its name or its network does.

        Raises `Unavailable` while other look-ups of the owner are under way: no attempt was made then.
        `error` names neither a secret nor an address that the URL does not hold.
        """
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._answer(posting)
        except TimeoutError:
            answer = f"no answer within {self._timeout:g} s"
        duration = clock() - started
        if isinstance(answer, str):
            return Posted(verdict=DeliveryVerdict.RETRY, error=answer, duration=duration)
        await _drain(answer)
        return _posted(answer.status_code, answer.headers.get("Retry-After"), duration)

    async def _answer(self, posting: Posting) -> httpx2.Response | str:
        """The answer as far as its headers, or why there is none."""
        try:
            to = target(posting.url)
            resolve = self._resolve or partial(self._look_ups.resolve, posting.owner)
            addresses = await checked(to, allow_private=self._allow_private, resolve=resolve)
        except AddressRefused as fault:
            return f"address refused: {fault.message}"
        raw = signing.signed_body(posting.body, posting.secrets)
        event = str(posting.body.get("event", ""))
        headers = signing.headers(posting.message_id, posting.at, raw, posting.secrets, event=event)
        error = f"the name {to.host} does not resolve"
        for address in addresses:
            try:
                return await self._transport.handle_async_request(_request(to, address, headers, raw))
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as fault:
                error = _wording(fault)  # Nothing was sent yet: the next address may do.
            except (httpx2.TransportError, OSError) as fault:
                return _wording(fault)
        return error


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait by a `Retry-After` header, from 0 to a day; None when it says nothing in either of its forms."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_WAIT)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):  # what that parser makes of nonsense
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max((at - now).total_seconds(), 0.0), _LONGEST_WAIT)


def _request(to: Target, address: str, headers: dict[str, str], raw: bytes) -> httpx2.Request:
    """The request to a checked address; host header, SNI and the certificate's check keep the name."""
    patience = httpx2.Timeout(None, connect=_CONNECT_TIMEOUT)
    return httpx2.Request(
        "POST",
        to.url.copy_with(host=address),
        headers={**headers, "Host": to.url.netloc.decode("ascii"), "Connection": "close"},
        content=raw,
        extensions={"sni_hostname": to.host, "timeout": patience.as_dict()},
    )


async def _drain(response: httpx2.Response) -> None:
    """Read a little of the body, so that an ordinary receiver sees its answer taken; the status is all that counts."""
    read = 0
    try:
        async with asyncio.timeout(_READ_TIMEOUT):
            async for piece in response.aiter_raw():
                read += len(piece)
                if read >= _MOST_READ:
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


def _wording(fault: Exception) -> str:
    """A fault of the network in words of our own: the libraries' hold addresses."""
    for cause in _causes(fault):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"TLS failed: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed: {cause.reason or 'no agreement'}"
    match fault:
        case httpx2.ConnectTimeout():
            return f"no connection within {_CONNECT_TIMEOUT:g} s"
        case httpx2.ConnectError():
            return "connection refused or host unreachable"
        case httpx2.ProtocolError():
            return "no valid HTTP answer"
        case _:
            return "the connection broke off"


def _causes(fault: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = fault
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
