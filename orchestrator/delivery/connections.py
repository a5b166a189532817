"""HTTP connections to addresses that were checked: a name is resolved once, and its address is the one that is used."""

import ssl
from collections.abc import Mapping
from typing import Final

import httpx2

from orchestrator.delivery.addresses import Target

CONNECT_SECONDS: Final = 5.0


def open_transport(tls: ssl.SSLContext | bool = True) -> httpx2.AsyncHTTPTransport:
    """A transport without a proxy and cookies, with one connection for each request.

    `tls` sets the trusted certificates; by default those of the machine.
    """
    # The pool finds open connections by address only: a kept one could serve a name that its certificate lacks.
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx2.AsyncHTTPTransport(verify=tls, limits=limits)


def request_to(
    to: Target, address: str, method: str, headers: Mapping[str, str], content: bytes | None = None
) -> httpx2.Request:
    """A request to a checked address. The host header, SNI and the check of the certificate use the name."""
    timeout = httpx2.Timeout(None, connect=CONNECT_SECONDS)
    return httpx2.Request(
        method,
        to.url.copy_with(host=address),
        headers={**headers, "Host": to.url.netloc.decode("ascii"), "Connection": "close"},
        content=content,
        extensions={"sni_hostname": to.host, "timeout": timeout.as_dict()},
    )
