"""The addresses that webhooks may go to: refuses every address that is not public, in any notation."""

import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final, TypeAlias

import httpx2

from orchestrator.domain.errors import InvalidInput, OrchestratorError, Unavailable

Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]

_EXPECTED: Final = "http or https URL of a public host, without credentials"
_MAX_LENGTH: Final = 2048
_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"[a-z0-9_-][a-z0-9._-]*|[0-9a-f:.]+", re.IGNORECASE | re.ASCII)
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
# Networks without public servers that `is_global` accepts.
_NOT_PUBLIC: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # protocol assignments
        "192.88.99.0/24",  # relays of 6to4
        "168.63.129.16/32",  # a cloud's own services, seen from its machines
        "2001::/23",  # protocol assignments, Teredo among them
        "3fff::/20",  # documentation
    )
)


class AddressRefused(OrchestratorError):
    """A webhook may not go to a URL. The message names the host of the URL, but no address behind it."""

    code = "address_refused"


@dataclass(frozen=True, slots=True)
class Target:
    """The parts of a URL with a valid form. `host` is ASCII, without brackets or a trailing dot."""

    url: httpx2.URL
    host: str
    port: int


def target(url: str) -> Target:
    """The parts of a URL. Raises `AddressRefused` for an invalid form; the address is not checked."""
    if len(url) > _MAX_LENGTH:
        raise AddressRefused(f"the URL is longer than {_MAX_LENGTH} characters")
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as fault:
        raise AddressRefused("it is not a valid URL") from fault
    if parsed.scheme not in _PORTS:
        raise AddressRefused("its scheme is neither http nor https")
    if parsed.userinfo:
        raise AddressRefused("it holds credentials")
    host = parsed.raw_host.decode("ascii").removesuffix(".")
    if not _HOST.fullmatch(host) or ".." in host or host.endswith("."):
        raise AddressRefused("it names no valid host")
    port = _PORTS[parsed.scheme] if parsed.port is None else parsed.port
    if not 0 < port < 65536:
        raise AddressRefused("its port is not between 1 and 65535")
    return Target(parsed, host, port)


async def allowed_addresses(to: Target, *, allow_private: bool, resolve: Resolve) -> list[str]:
    """The addresses of a target, resolved once; none if its name is unknown.

    Raises `AddressRefused` if one of them is not public, unless `allow_private`.
    """
    literal = _literal(to.host)
    if not allow_private and literal is None and _is_local(to.host):
        raise AddressRefused(f"{to.host} is this machine")
    addresses = [str(literal)] if literal else await resolve(to.host, to.port)
    if not allow_private and not all(is_public(address) for address in addresses):
        raise AddressRefused(f"{to.host} is not at a public address")
    return addresses


async def refusal(url: str, *, allow_private: bool, resolve: Resolve) -> str | None:
    """The reason why a webhook may not go to a URL, or None. `allow_private` skips only the check of addresses."""
    try:
        await allowed_addresses(target(url), allow_private=allow_private, resolve=resolve)
    except AddressRefused as fault:
        return fault.message
    return None


async def checked_at_registration(url: str, allow_private: bool, *, resolve: Resolve) -> None:
    """Raises `InvalidInput` with field `url` if a webhook may not go to a URL.

    A name that does not resolve is accepted: it may exist later, and each delivery checks again.
    """
    try:
        fault = await refusal(url, allow_private=allow_private, resolve=resolve)
    except Unavailable:  # other look-ups of the owner are running; each delivery checks again
        return
    if fault is not None:
        raise InvalidInput(
            f"Webhooks cannot go to this URL: {fault}", field="url", provided=url[:_MAX_LENGTH], expected=_EXPECTED
        )


def is_public(address: str) -> bool:
    """Whether an IP address, and an IPv4 address embedded in it, belong to the public internet."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address):
        inner = _embedded(parsed)
        if inner is not None:
            return is_public(str(inner))
        if parsed not in _GLOBAL_UNICAST:
            return False
    return (
        parsed.is_global
        and not parsed.is_multicast
        and not parsed.is_reserved
        and not any(parsed in network for network in _NOT_PUBLIC)
    )


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """The embedded IPv4 address that a gateway would reach: IPv4-mapped, NAT64 or 6to4."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    """The address if the host is a literal one, also in the old notations of resolvers: 127.1, 0x7f000001."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None


def _is_local(host: str) -> bool:
    name = host.lower()
    return name == "localhost" or name.endswith((".localhost", ".localdomain")) or name == "localhost6"
