"""Addresses of this machine, to which no proxy leads: the one rule for every client of ours."""

from collections.abc import MutableMapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

# With and without the network: some libraries understand only one of the two.
_THIS_MACHINE: Final = ("localhost", "127.0.0.1", "127.0.0.0/8", "::1")
# As they stand in the header `Host`: what a browser on this machine can be told to open.
HOST_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")
_PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy")


def is_loopback(host: str | None) -> bool:
    """Whether a host name or an address is this machine's own."""
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
    """Have libraries whose clients we do not build, and authors' code, reach this machine without a proxy, too."""
    if not any(environment.get(name) or environment.get(name.upper()) for name in _PROXIES):
        return
    exempt = [entry.strip() for name in ("no_proxy", "NO_PROXY") for entry in environment.get(name, "").split(",")]
    if "*" not in exempt:
        exempt += _THIS_MACHINE
    environment["no_proxy"] = environment["NO_PROXY"] = ",".join(dict.fromkeys(filter(None, exempt)))
