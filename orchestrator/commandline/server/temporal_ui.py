"""The Temporal UI of a local server, served only under this machine's own names.

The UI asks for no credentials and answers under any host name. A foreign page whose name resolves to 127.0.0.1 (DNS
rebinding) could read and terminate every job. So the UI listens at an address that no page can guess, and users open a
proxy that checks the host name.
"""

import asyncio
import secrets
import socket
import sys
from collections.abc import AsyncIterator
from typing import Final

import httpx2
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.commandline.server.http_server import ApiServer
from orchestrator.engine.devserver import HOST
from orchestrator.network.loopback import HOST_NAMES

_KEEP_ALIVE: Final = 75
_UPSTREAM_TIMEOUT_SECONDS: Final = 60.0
# These headers belong to one connection, not to the message (RFC 9110, 7.6.1).
_HOP_BY_HOP: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
)


def hidden_host() -> str:
    """A loopback address that a page cannot guess. Outside Linux there is only one: that one."""
    if sys.platform != "linux":
        return HOST
    return ".".join(["127", *(str(1 + secrets.randbelow(254)) for _ in range(3))])


async def serve(listener: socket.socket, upstream: str, stop: asyncio.Event) -> None:
    """Serve the UI at `upstream` (`http://host:port`) on a listening socket until `stop` is set. Raises `Refused`."""
    async with httpx2.AsyncClient(base_url=upstream, timeout=_UPSTREAM_TIMEOUT_SECONDS, trust_env=False) as http:
        await ApiServer(guarded(http), listener, keep_alive=_KEEP_ALIVE, lifespan="off").run_until(stop)


def guarded(http: httpx2.AsyncClient) -> ASGIApp:
    """An application that forwards requests under this machine's names to `http`'s server, and refuses all others."""
    return TrustedHostMiddleware(_Proxy(http), HOST_NAMES, www_redirect=False)


class _Proxy:
    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward one request, and return its response."""
        if scope["type"] != "http":  # the UI opens no WebSockets
            await send({"type": "websocket.close"})
            return
        response = await self._forward(Request(scope, receive))
        await response(scope, receive, send)

    async def _forward(self, request: Request) -> Response:
        target = httpx2.URL(self._http.base_url, raw_path=_raw_target(request))
        body = request.stream() if {"content-length", "transfer-encoding"} & set(request.headers) else None
        upstream_request = self._http.build_request(
            request.method, target, headers=_end_to_end(request.headers.raw), content=body
        )
        try:
            upstream_response = await self._http.send(upstream_request, stream=True)
        except httpx2.TransportError as fault:
            return PlainTextResponse(f"The Temporal UI does not answer ({type(fault).__name__}).\n", status_code=502)
        response = StreamingResponse(_body(upstream_response), status_code=upstream_response.status_code)
        response.raw_headers = _end_to_end(upstream_response.headers.raw)
        return response


def _raw_target(request: Request) -> bytes:
    path: bytes = request.scope.get("raw_path") or request.url.path.encode()
    query: bytes = request.scope["query_string"]
    return path + b"?" + query if query else path


def _end_to_end(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value) for name, value in headers if name.lower() not in _HOP_BY_HOP]


async def _body(upstream_response: httpx2.Response) -> AsyncIterator[bytes]:
    try:
        async for part in upstream_response.aiter_raw():
            yield part
    finally:
        await upstream_response.aclose()
