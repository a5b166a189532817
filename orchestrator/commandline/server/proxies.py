"""Forwarding headers of reverse proxies: accepted from the proxies that the settings name, ignored from all others."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

log = structlog.get_logger(__name__)

PREFIX: Final = re.compile(r"(?=.{1,200}$)(/[A-Za-z0-9._~\-]+)+")
EVERY_PEER: Final = "*"
_SCHEMES: Final = frozenset({"http", "https", "ws", "wss"})
_EXPECTED: Final = "comma-separated addresses and networks, such as 10.0.0.5,172.16.0.0/12, or *"


class TrustedProxies:
    """The proxies of the settings: addresses and networks, comma-separated; `*` is every peer."""

    def __init__(self, text: str) -> None:
        """Raises `ValueError` for an invalid address."""
        names = [name.strip() for name in text.split(",") if name.strip()]
        self._every_peer = names == [EVERY_PEER]
        self._networks = [] if self._every_peer else [_network(name) for name in names]

    def __contains__(self, host: str) -> bool:
        """Whether a host is a trusted proxy."""
        address = _address(host)
        return self._every_peer or (address is not None and any(address in network for network in self._networks))

    def client(self, peer: str, hops: Iterable[str]) -> str:
        """The address of the client behind `peer`. `hops` are those of `X-Forwarded-For`, the nearest one last.

        A hop counts if a trusted proxy added it, so that entries which the client wrote itself are ignored. Behind `*`
        only the nearest hop counts: it is unknown who added the others.
        """
        client = peer
        for hop in reversed(list(hops)):
            address = _address(hop) if client in self else None
            if address is None:
                break
            client = str(address)
            if self._every_peer:
                break
        return client


class FromProxy:
    """Applies `X-Forwarded-For`, `-Proto` and `-Prefix` (the path prefix that the proxy removed) of trusted proxies."""

    def __init__(self, app: ASGIApp, trusted: TrustedProxies) -> None:
        self._app = app
        self._trusted = trusted
        self._warned = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "lifespan" and scope["client"]:
            headers = Headers(scope=scope)
            if scope["client"][0] in self._trusted:
                self._apply(scope, headers)
            elif not self._warned and "x-forwarded-for" in headers:
                self._warned = True
                advice = "if this is your proxy, name it in ORCHESTRATOR_TRUSTED_PROXIES"
                log.warning("forwarded_headers_ignored", peer=scope["client"][0], advice=advice)
        await self._app(scope, receive, send)

    def _apply(self, scope: Scope, headers: Headers) -> None:
        hops = _parts(headers, "x-forwarded-for")
        if (client := self._trusted.client(scope["client"][0], hops)) != scope["client"][0]:
            scope["client"] = (client, 0)
        scheme = _parts(headers, "x-forwarded-proto")[-1:]
        if scheme and scheme[0] in _SCHEMES:
            scope["scheme"] = scheme[0].replace("http", "ws") if scope["type"] == "websocket" else scheme[0]
        prefix = "".join(part.rstrip("/") for part in _parts(headers, "x-forwarded-prefix"))
        if PREFIX.fullmatch(prefix):
            scope["root_path"] = prefix
            scope["path"] = prefix + scope["path"]
            scope["raw_path"] = prefix.encode() + (scope["raw_path"] or b"")


def _parts(headers: Headers, name: str) -> list[str]:
    return [part.strip() for value in headers.getlist(name) for part in value.split(",")]


def _network(name: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(name, strict=False)
    except ValueError:
        raise ValueError(f"invalid address {name!r}: expected {_EXPECTED}") from None


def _address(hop: str) -> IPv4Address | IPv6Address | None:
    """The address of a hop, which may have a port: `192.0.2.1:80`, `[2001:db8::1]:80`. None if it is not an address."""
    host = hop[1:].partition("]")[0] if hop.startswith("[") else hop
    if host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
