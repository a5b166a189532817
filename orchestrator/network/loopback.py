"""Addresses of this machine. Every client of the product reaches them without a proxy."""

from collections.abc import MutableMapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

# Some libraries understand only single addresses, others only networks.
_THIS_MACHINE: Final = ("localhost", "127.0.0.1", "127.0.0.0/8", "::1")
# As a browser on this machine writes them in the header `Host`.
HOST_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")
_PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy")


def is_loopback(host: str | None) -> bool:
    """Whether a host name or an address is a loopback address."""
    try:
        return ip_address((host or "").strip("[]")).is_loopback
    except ValueError:
        return host is not None and host.rstrip(".").lower() == "localhost"


def leads_to_this_machine(url: str) -> bool:
    """Whether the host of a URL is this machine."""
    try:
        return is_loopback(urlsplit(url).hostname)
    except ValueError:
        return False


def exempt_from_proxies(environment: MutableMapping[str, str]) -> None:
    """Set `NO_PROXY`, so that author code and libraries reach this machine without a proxy, too."""
    if not any(environment.get(name) or environment.get(name.upper()) for name in _PROXIES):
        return
    exempt = [entry.strip() for name in ("no_proxy", "NO_PROXY") for entry in environment.get(name, "").split(",")]
    if "*" not in exempt:
        exempt += _THIS_MACHINE
    environment["no_proxy"] = environment["NO_PROXY"] = ",".join(dict.fromkeys(filter(None, exempt)))
