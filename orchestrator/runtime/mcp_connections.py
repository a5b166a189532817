"""Connections to MCP servers that a worker keeps between the calls of one job."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from contextvars import Context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog

from orchestrator.domain.text import error_name
from orchestrator.domain.tools import McpServer

if TYPE_CHECKING:
    from mcp import Client

log = structlog.get_logger(__name__)

IDLE_SECONDS: Final = 60.0
MAX_IDLE: Final = 16  # Of one worker; the oldest is closed first.
_PING_SECONDS: Final = 5.0
_METHOD_NOT_FOUND: Final = -32601  # The answer of a newer server, which knows no ping: it is alive.
_CLOSE_SECONDS: Final = 5.0

Connect = Callable[[McpServer, AsyncExitStack], Awaitable["Client"]]


@dataclass(slots=True, eq=False)
class _Connection:
    """One connection. Its own task opens and closes it, because the SDK must leave it in the task that entered it."""

    place: tuple[str, str]
    client: "asyncio.Future[Client]"
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    owner: asyncio.Task[None] | None = None
    expiry: asyncio.TimerHandle | None = None

    @property
    def ended(self) -> bool:
        return self.closing.is_set() or self.owner is None or self.owner.done()


class McpConnections:
    """Lends connections, each to one call at a time. Jobs share none: a server may keep state in a session."""

    def __init__(self, connect: Connect, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._connect = connect
        self._idle_seconds = idle_seconds
        self._idle: list[_Connection] = []
        self._owners: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def lent(self, server: McpServer, job_id: str) -> AsyncIterator["Client"]:
        """A client of the server. It is kept for the job's next call, unless the call raises.

        Raises what opening a connection raises.
        """
        place = (job_id, repr(server))
        connection = await self._kept(place) or await self._opened(server, place)
        try:
            yield connection.client.result()
        except BaseException:
            connection.closing.set()
            raise
        self._keep(connection)

    async def aclose(self) -> None:
        """Close every connection."""
        for connection in [*self._idle]:
            self._close(connection)
        if self._owners:
            _, late = await asyncio.wait(self._owners, timeout=_CLOSE_SECONDS)
            for owner in late:
                owner.cancel()

    async def _kept(self, place: tuple[str, str]) -> _Connection | None:
        """A kept connection that answers, or None."""
        while connection := next((each for each in self._idle if each.place == place), None):
            self._idle.remove(connection)
            if connection.expiry:
                connection.expiry.cancel()
            try:
                if not connection.ended and await _answers(connection.client.result()):
                    return connection
            except BaseException:
                connection.closing.set()
                raise
            connection.closing.set()
        return None

    async def _opened(self, server: McpServer, place: tuple[str, str]) -> _Connection:
        connection = _Connection(place, asyncio.get_running_loop().create_future())
        connection.owner = asyncio.create_task(self._own(server, connection), context=Context())
        self._owners.add(connection.owner)
        connection.owner.add_done_callback(self._owners.discard)
        try:
            await asyncio.shield(connection.client)
        except asyncio.CancelledError:
            connection.closing.set()
            connection.owner.cancel()
            raise
        return connection

    async def _own(self, server: McpServer, connection: _Connection) -> None:
        try:
            async with AsyncExitStack() as stack:
                client = await self._connect(server, stack)
                connection.client.set_result(client)
                await connection.closing.wait()
        except Exception as error:  # noqa: BLE001 - the edge of the SDK: the caller of `_opened` gets it
            if not connection.client.done():
                connection.client.set_exception(error)
            else:
                log.debug("mcp_connection_lost", server=server.name, error=error_name(error))
        finally:
            if not connection.client.done():
                connection.client.cancel()

    def _keep(self, connection: _Connection) -> None:
        if connection.ended:
            connection.closing.set()
            return
        loop = asyncio.get_running_loop()
        connection.expiry = loop.call_later(self._idle_seconds, self._close, connection)
        self._idle.append(connection)
        if len(self._idle) > MAX_IDLE:
            self._close(self._idle[0])

    def _close(self, connection: _Connection) -> None:
        with suppress(ValueError):
            self._idle.remove(connection)
        if connection.expiry:
            connection.expiry.cancel()
        connection.closing.set()


async def _answers(client: "Client") -> bool:
    """Whether the server still answers on a connection: it may have restarted."""
    from mcp import MCPError  # noqa: PLC0415

    try:
        async with asyncio.timeout(_PING_SECONDS):
            await client.session.send_ping()
    except MCPError as error:
        return error.code == _METHOD_NOT_FOUND
    except Exception:  # noqa: BLE001 - the edge of the SDK: a new connection shows what is wrong
        return False
    return True
