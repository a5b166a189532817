"""The HTTP server of the API and of the Temporal UI, in the process's event loop."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any, Final, Literal, cast

import httpx2
import structlog
import uvicorn
from starlette.types import ASGIApp

from orchestrator.commandline.server.http_protocol import AnsweredWebSocket, BoundedHttp
from orchestrator.commandline.server.proxies import FromProxy, TrustedProxies
from orchestrator.commandline.terminal.exits import FAILED, Refused

log = structlog.get_logger(__name__)

_GRACE: Final = 5
# The application refuses large WebSocket frames itself (64 KiB). This limit bounds memory: larger frames are not read.
_MAX_FRAME: Final = 1024 * 1024
_LOG_SECONDS: Final = 15.0
_POLL: Final = 0.2


class ApiServer(uvicorn.Server):
    """uvicorn on a listening socket. The process, not uvicorn, handles signals and logs requests.

    `keep_alive` is the time in seconds for which a connection without a request stays open. Forwarding headers are
    accepted from `proxies` only. `lifespan` is "off" for an application without a start and an end.
    """

    def __init__(
        self,
        app: ASGIApp,
        listener: socket.socket,
        *,
        keep_alive: int,
        proxies: str = "",
        lifespan: Literal["on", "off"] = "on",
    ) -> None:
        config = uvicorn.Config(
            cast(Any, app),
            http=BoundedHttp,
            lifespan=lifespan,
            ws=AnsweredWebSocket,
            ws_max_size=_MAX_FRAME,
            server_header=False,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACE,
            timeout_keep_alive=keep_alive,
        )
        config.app = FromProxy(app, TrustedProxies(proxies))
        super().__init__(config)
        self._listener = listener

    async def run_until(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set; then accept no connections and give open ones five seconds to finish.

        Raises `Refused` if the server does not start or ends by itself.
        """
        serving = asyncio.ensure_future(self._serve_listener())
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            self.should_exit = True
            await serving
            if not stop.is_set():
                raise Refused("the HTTP server ended by itself", FAILED)
        finally:
            stopping.cancel()

    async def _serve_listener(self) -> None:
        try:
            await self.serve(sockets=[self._listener])
        except SystemExit as end:  # uvicorn exits when its start fails, and logs the reason
            raise Refused("the HTTP server could not start", FAILED) from end

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process."""
        yield


async def until_answering(url: str, path: str) -> bool:
    """Return True once GET `path` answers 200. Until then, log every 15 s why it does not."""
    clock = asyncio.get_running_loop().time
    log_at = clock() + _LOG_SECONDS
    async with httpx2.AsyncClient(base_url=url, timeout=10, trust_env=False) as http:
        while True:
            try:
                response = await http.get(path)
                if response.status_code == httpx2.codes.OK:
                    return True
                missing = response.text[:500]
            except httpx2.TransportError as fault:
                missing = f"{type(fault).__name__}: {fault}"
            if clock() > log_at:
                log_at = clock() + _LOG_SECONDS
                log.warning("not_ready_yet", missing=missing)
            await asyncio.sleep(_POLL)
