"""Ports of this machine: take a port, find a free one, check whether one is taken."""

import errno
import socket
from typing import Final

from orchestrator.commandline.terminal.exits import Refused

_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound  # nosec B104

_NOT_OURS: Final = (errno.EADDRNOTAVAIL, socket.EAI_NONAME, socket.EAI_AGAIN)


def listen(host: str, port: int, flag: str) -> socket.socket:
    """Listen on a port; 0 selects a free one.

    Raises `Refused`, which names the port and the flag for another one; for a foreign address it names `--host`.
    """
    try:
        listener = socket.create_server((host, port), family=_family(host))
    except OSError as fault:
        if fault.errno in _NOT_OURS:
            raise Refused(f"{host} is not an address of this machine; choose another with --host") from fault
        why = "is taken" if fault.errno == errno.EADDRINUSE else f"cannot be used: {fault.strerror or fault}"
        raise Refused(f"port {port} on {host} {why}; choose another with {flag}") from fault
    # asyncio sets this only on its own sockets. Without it, each response waits 40 ms for the client's delayed ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def is_taken(host: str, port: int) -> bool:
    """Whether a process holds a port."""
    with socket.socket(_family(host)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as fault:
            return fault.errno == errno.EADDRINUSE
    return False


def free_port(host: str = "127.0.0.1") -> int:
    """A port that is free at the moment."""
    with socket.socket(_family(host)) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def url_of(listener: socket.socket) -> str:
    """The address at which clients on this machine reach a listening socket."""
    host, port = listener.getsockname()[:2]
    host = _LOOPBACK.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
