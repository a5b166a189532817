"""The API's HTTP server in this event loop."""

import asyncio
import contextlib
import re
import socket
from collections.abc import Iterator
from typing import Any, Final, cast

import httpx2
import structlog
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from orchestrator.commandline.exits import FAILED, Refused
from orchestrator.commandline.http_protocol import AnsweredWebSocket, BoundedHttp

log = structlog.get_logger(__name__)

_GRACE: Final = 5
_PREFIX: Final = re.compile(r"(?=.{1,200}$)(/[A-Za-z0-9._~\-]+)+")
# The application refuses a large WebSocket frame politely (64 KiB); this is where reading on would only cost memory.
_MAX_FRAME: Final = 1024 * 1024
_PATIENCE: Final = 15.0
_POLL: Final = 0.2


class FromProxy:
    """Believes a trusted proxy: `X-Forwarded-For` and `-Proto` as uvicorn does, and `X-Forwarded-Prefix`, the path that
    the proxy has taken off. `trusted` holds addresses and networks, comma-separated, or `*`.
    """

    def __init__(self, app: ASGIApp, trusted: list[str] | str) -> None:
        # uvicorn types the same protocol in its own words.
        self._proxied = ProxyHeadersMiddleware(cast(Any, app), trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "lifespan" and scope["client"] and scope["client"][0] in self._proxied.trusted_hosts:
            values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-prefix"]
            prefix = "".join(part.strip().rstrip("/") for value in values for part in value.split(","))
            if _PREFIX.fullmatch(prefix):
                scope["root_path"] = prefix
                scope["path"] = prefix + scope["path"]
                scope["raw_path"] = prefix.encode() + (scope["raw_path"] or b"")
        await self._proxied(cast(Any, scope), cast(Any, receive), cast(Any, send))


class ApiServer(uvicorn.Server):
    """uvicorn on a listening socket. The process, not uvicorn, handles signals and logs requests.

    `keep_alive` is the time in seconds for which a connection without a request stays open.
    """

    def __init__(self, app: FastAPI, listener: socket.socket, *, keep_alive: int) -> None:
        config = uvicorn.Config(
            app,
            http=BoundedHttp,
            ws=AnsweredWebSocket,
            ws_max_size=_MAX_FRAME,
            server_header=False,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACE,
            timeout_keep_alive=keep_alive,
        )
        config.app = FromProxy(app, config.forwarded_allow_ips)
        super().__init__(config)
        self._listener = listener

    async def run_until(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set; then take no more connections and give the open ones five seconds.

        Raises `Refused` when the server does not start or ends by itself.
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
        except SystemExit as end:  # uvicorn's word for a failed start; its reason is in the log
            raise Refused("the HTTP server could not start", FAILED) from end

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process."""
        yield


async def until_answering(url: str, path: str) -> bool:
    """Return once GET `path` answers 200; what is missing is logged every 15 s. Always True."""
    clock = asyncio.get_running_loop().time
    tell_at = clock() + _PATIENCE
    async with httpx2.AsyncClient(base_url=url, timeout=10, trust_env=False) as http:
        while True:
            try:
                answer = await http.get(path)
                if answer.status_code == httpx2.codes.OK:
                    return True
                missing = answer.text[:500]
            except httpx2.TransportError as fault:
                missing = f"{type(fault).__name__}: {fault}"
            if clock() > tell_at:
                tell_at = clock() + _PATIENCE
                log.warning("not_ready_yet", missing=missing)
            await asyncio.sleep(_POLL)
