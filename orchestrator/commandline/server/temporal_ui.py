"""The Temporal UI of a local server, for this machine's own names alone.

The UI asks for no credentials and answers under any host name. A page of a stranger whose name leads to 127.0.0.1 (DNS
rebinding) could read every job in it, and terminate it. So it listens where no page can guess it, and what users open
is a proxy that looks at the host name first.
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
_PATIENCE: Final = 60.0
# Of one connection, not of the message (RFC 9110, 7.6.1).
_HOP_BY_HOP: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
)


def hidden_host() -> str:
    """An address of this machine that a page cannot guess; where there is one loopback address only, that one."""
    if sys.platform != "linux":
        return HOST
    return ".".join(["127", *(str(1 + secrets.randbelow(254)) for _ in range(3))])


async def serve(listener: socket.socket, upstream: str, stop: asyncio.Event) -> None:
    """Serve the UI at `upstream` (`http://host:port`) on a listening socket until `stop` is set. Raises `Refused`."""
    async with httpx2.AsyncClient(base_url=upstream, timeout=_PATIENCE, trust_env=False) as http:
        await ApiServer(guarded(http), listener, keep_alive=_KEEP_ALIVE).run_until(stop)


def guarded(http: httpx2.AsyncClient) -> ASGIApp:
    """The application: what comes under a name of this machine goes to the server that `http` leads to."""
    return TrustedHostMiddleware(_Proxy(http), HOST_NAMES, www_redirect=False)


class _Proxy:
    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, and its answer back."""
        if scope["type"] == "lifespan":
            raise RuntimeError("there is nothing to start")  # the server takes this for an application without one
        if scope["type"] != "http":  # the UI opens no sockets
            await send({"type": "websocket.close"})
            return
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        target = httpx2.URL(self._http.base_url, raw_path=_raw_target(request))
        body = request.stream() if {"content-length", "transfer-encoding"} & set(request.headers) else None
        asked = self._http.build_request(request.method, target, headers=_end_to_end(request.headers.raw), content=body)
        try:
            answered = await self._http.send(asked, stream=True)
        except httpx2.TransportError as fault:
            return PlainTextResponse(f"The Temporal UI does not answer ({type(fault).__name__}).\n", status_code=502)
        response = StreamingResponse(_body(answered), status_code=answered.status_code)
        response.raw_headers = _end_to_end(answered.headers.raw)
        return response


def _raw_target(request: Request) -> bytes:
    path: bytes = request.scope.get("raw_path") or request.url.path.encode()
    query: bytes = request.scope["query_string"]
    return path + b"?" + query if query else path


def _end_to_end(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value) for name, value in headers if name.lower() not in _HOP_BY_HOP]


async def _body(answered: httpx2.Response) -> AsyncIterator[bytes]:
    try:
        async for part in answered.aiter_raw():
            yield part
    finally:
        await answered.aclose()
