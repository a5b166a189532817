"""Limits on connections that stay open: sockets, event streams and calls that wait for a job."""

import resource
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from orchestrator.domain.access import Principal
from orchestrator.domain.errors import LimitExceeded, Unavailable

_MAX_CONNECTIONS: Final = 10_000
# File descriptors reserved for everything else: the job index, Temporal, Redis, short requests.
_RESERVED: Final = 200
_RETRY_AFTER: Final = 10.0  # seconds


def most_connections() -> int:
    """Return how many connections may stay open in this process, from its limit on file descriptors."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else max(10, min(soft - _RESERVED, _MAX_CONNECTIONS))


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections may stay open: per owner, per address without a credential, and per process.

    Connections without a credential use at most half of the process limit. `pages` limits the streams of open pages of
    one owner, also of an admin: each reads jobs while it is open.
    """

    owner: int = 200
    pages: int = 100
    address: int = 100
    process: int = field(default_factory=most_connections)


class OpenConnections:
    """The open connections of one process, counted by client.

    A client is a principal, whose keys and sockets count together, or the address of a caller without a credential.
    """

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._owners: Counter[str] = Counter()
        self._pages: Counter[str] = Counter()
        self._addresses: Counter[str] = Counter()

    @contextmanager
    def held(self, client: Principal | str) -> Iterator[None]:
        """Count one connection for the duration of the context. Raises what `hold` raises."""
        connection = self.hold(client)
        try:
            yield
        finally:
            connection.release()

    def hold(self, client: Principal | str) -> "OpenConnection":
        """Count one connection until it is released.

        Raises `LimitExceeded` at the client's limit, `Unavailable` at the process limit.
        """
        limits = self._limits
        open_now, anonymous = self._owners.total() + self._addresses.total(), self._addresses.total()
        full = anonymous >= limits.process // 2 if isinstance(client, str) else open_now >= limits.process
        if full:
            raise Unavailable("This process has reached its limit of open connections", retry_after=_RETRY_AFTER)
        if isinstance(client, str):
            return self._counted(self._addresses, client, limits.address)
        return self._counted(self._owners, client.id, limits.process if client.admin else limits.owner)

    def hold_page(self, visitor: Principal) -> "OpenConnection":
        """Count the stream of an open page until it is released, also as a connection. Raises what `hold` raises."""
        maximum = self._limits.pages
        if self._pages[visitor.id] >= maximum:
            message = (
                f"{maximum} pages of your account are open and update themselves. Close one, then reload this page"
            )
            raise LimitExceeded(message, limit="open_pages", retry_after=_RETRY_AFTER, allowed=maximum)
        return OpenConnection(self._pages, visitor.id, self.hold(visitor))

    def _counted(self, clients: Counter[str], name: str, maximum: int) -> "OpenConnection":
        if clients[name] >= maximum:
            message = (
                f"The limit of {maximum} open sockets, event streams and waiting calls is reached. Close one first"
            )
            raise LimitExceeded(message, limit="open_connections", retry_after=_RETRY_AFTER, allowed=maximum)
        return OpenConnection(clients, name)


class OpenConnection:
    """One counted connection. `within` is the same connection in another count, released with it."""

    def __init__(self, clients: Counter[str], name: str, within: "OpenConnection | None" = None) -> None:
        self._clients = clients
        self._name = name
        self._within = within
        self._open = True
        clients[name] += 1

    def release(self) -> None:
        """Stop counting the connection. Idempotent."""
        if not self._open:
            return
        self._open = False
        self._clients[self._name] -= 1
        if not self._clients[self._name]:
            del self._clients[self._name]
        if self._within is not None:
            self._within.release()
