"""Writes down every call that was to change something, and everything of the kind that is said over a socket."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

import structlog
from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from api.credentials import authenticate
from api.deps import api_state
from api.errors import EXPECTED, status_of
from orchestrator.domain.access import AuditEntry, Principal
from orchestrator.domain.errors import OrchestratorError
from orchestrator.sealing import without_secrets
from orchestrator.services.registry import Services

log = structlog.get_logger(__name__)

_CHANGING: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_NO_ROUTE: Final = "(none)"
_LONGEST_PATH: Final = 500


class AuditTrail:
    """Leaves one entry for each such call, refused ones too, after its answer: nobody waits for it.

    Nothing of query strings, bodies or secrets is kept.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] not in _CHANGING:
            await self._app(scope, receive, send)
            return
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            await self._record(scope, status)

    async def _record(self, scope: Scope, status: int) -> None:
        principal = scope["state"].get("principal") or await _caller(scope)
        if principal is not None:
            services = await api_state(scope["app"]).source.services()
            await services.audit.record(_entry(scope, principal, f"{scope['method']} {_route(scope)}", status))


@asynccontextmanager
async def audited(services: Services, websocket: WebSocket, principal: Principal, did: str) -> AsyncIterator[None]:
    """Leaves one entry for what is done over a socket: `did` is its word, the status is that of a request.

    202 says that the socket ended first: what was begun goes on.
    """
    status = 500
    try:
        yield
        status = 200
    except EXPECTED as fault:
        status = status_of(fault)
        raise
    except asyncio.CancelledError:
        status = 202
        raise
    finally:
        entry = _entry(websocket.scope, principal, f"WS {_route(websocket.scope)} {did}", status)
        await services.audit.record(entry)


async def _caller(scope: Scope) -> Principal | None:
    """Who made a call that was refused before anybody asked: no such route, a body that cannot be read."""
    scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or scope["state"].get("refused"):
        return None
    app: FastAPI = scope["app"]
    try:
        services = await api_state(app).source.services()
        return await authenticate(HTTPConnection(scope), services, token.strip())
    except OrchestratorError:
        return None


def _route(scope: Mapping[str, Any]) -> str:
    return getattr(scope.get("route"), "path", _NO_ROUTE)


def _entry(scope: Mapping[str, Any], principal: Principal, action: str, status: int) -> AuditEntry:
    path = without_secrets(quote(scope["path"]))
    client = scope.get("client")
    return AuditEntry(
        at=datetime.now(UTC),
        principal=principal.id,
        key_id=principal.key,
        action=action,
        path=path[:_LONGEST_PATH],
        status=status,
        address=client[0] if client else None,
        request_id=scope["state"]["request_id"],
    )
