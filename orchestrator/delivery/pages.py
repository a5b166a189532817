"""Reads pages of the internet for agents, behind the guard of webhook addresses: what a model writes is untrusted."""

import asyncio
from functools import partial
from typing import Final
from urllib.parse import urljoin

import httpx2

from orchestrator.delivery.addresses import AddressRefused, Target, allowed_addresses, target
from orchestrator.delivery.connections import open_transport, request_to
from orchestrator.delivery.look_ups import LookUps
from orchestrator.domain.errors import AgentError
from orchestrator.domain.turns import ToolFailed

_MAX_BYTES: Final = 1024 * 1024
_MAX_REDIRECTS: Final = 5
_BUSY: Final = (httpx2.codes.TOO_MANY_REQUESTS, 502, 503, 504)
_TEXT: Final = ("text/", "application/json", "application/xml", "application/xhtml+xml", "application/javascript")
_HEADERS: Final = {"User-Agent": "orchestrator-agent/1", "Accept": "text/*, application/json"}


class PageReader:
    """GET without a proxy, cookies or credentials; each redirect is checked again.

    `allow_private` allows loopback and private addresses, for tests and local development.
    """

    def __init__(self, *, allow_private: bool, look_ups: LookUps | None = None) -> None:
        self._allow_private = allow_private
        self._look_ups = look_ups or LookUps()
        self._transport = open_transport()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()

    async def read(self, url: str, *, owner: str, seconds: float, hosts: tuple[str, ...] = ()) -> str:
        """The text of a page, at most 1 MB. `hosts` limits the page and its redirects, with their subdomains.

        Raises `AgentError`: of kind `tool_failed` with a text for the model, or a retryable one.
        """
        try:
            async with asyncio.timeout(seconds):
                for _ in range(_MAX_REDIRECTS):
                    response = await self._get(url, owner, hosts)
                    location = response.headers.get("location", "")
                    if not (response.has_redirect_location and location):
                        return await _text(response)
                    await response.aclose()
                    url = urljoin(url, location)
        except TimeoutError:
            raise AgentError(f"no answer within {seconds:g} s", kind="page_unreachable", retryable=True) from None
        raise ToolFailed(f"The page redirects more than {_MAX_REDIRECTS} times.")

    async def _get(self, url: str, owner: str, hosts: tuple[str, ...]) -> httpx2.Response:
        resolve = partial(self._look_ups.resolve, owner)
        try:
            to = _allowed(url, hosts)
            addresses = await allowed_addresses(to, allow_private=self._allow_private, resolve=resolve)
        except AddressRefused as fault:
            raise ToolFailed(f"This address cannot be read: {fault.message}.") from None
        for address in addresses:
            try:
                return await self._transport.handle_async_request(request_to(to, address, "GET", _HEADERS))
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue
            except (httpx2.TransportError, OSError):
                break
        reason = "does not answer" if addresses else "has no address"
        raise AgentError(f"{to.host} {reason}", kind="page_unreachable", retryable=bool(addresses))


def _allowed(url: str, hosts: tuple[str, ...]) -> Target:
    """The parts of a URL. Raises `AddressRefused`."""
    to = target(url)
    host = to.host.lower()
    if hosts and not any(host == allowed or host.endswith(f".{allowed}") for allowed in hosts):
        raise AddressRefused(f"{host} is not one of {', '.join(hosts)}")
    return to


async def _text(response: httpx2.Response) -> str:
    try:
        if response.status_code in _BUSY:
            raise AgentError(f"HTTP {response.status_code}", kind="page_busy", retryable=True)
        if response.status_code != httpx2.codes.OK:
            raise ToolFailed(f"The server answers with HTTP {response.status_code}.")
        content_type = response.headers.get("content-type", "text/plain").lower()
        if not content_type.startswith(_TEXT):
            raise ToolFailed(f"The page is no text: its type is {content_type[:100]}.")
        pieces, size = [], 0
        async for piece in response.aiter_bytes():
            size += len(piece)
            if size > _MAX_BYTES:
                raise ToolFailed("The page is longer than 1 MB.")
            pieces.append(piece)
    except (httpx2.TransportError, OSError) as fault:
        raise AgentError("the connection broke off", kind="page_unreachable", retryable=True) from fault
    finally:
        await response.aclose()
    return b"".join(pieces).decode(response.charset_encoding or "utf-8", errors="replace")
