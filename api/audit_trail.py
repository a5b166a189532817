"""Records calls that change something, are refused or read confidential data, and actions over a socket."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import quote

import structlog
from fastapi import Depends, FastAPI
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from api.credentials import authenticate
from api.deps import api_state
from api.errors import EXPECTED, status_of
from api.limits import network_of
from orchestrator.domain.access import NOBODY, AuditEntry, Principal
from orchestrator.domain.errors import OrchestratorError, Unauthenticated
from orchestrator.security.redaction import without_secrets
from orchestrator.services.container import Services

log = structlog.get_logger(__name__)

_CHANGING: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_NO_ROUTE: Final = "(none)"
_MAX_PATH_LENGTH: Final = 500
_REFUSED: Final = frozenset({401, 403, 429})
_REFUSING: Final = 400
_UNAUTHENTICATED: Final = 4401


class AuditTrail:
    """Records entries after the answer, so that no caller waits for them:

    - one for each call of a known caller that changes something, refused calls included, and for each read of
      confidential data;
    - for calls and sockets that lack a credential or a scope, and for failed sign-ins. `AuditLog.record_refused`
      limits how many.

    Query strings, bodies and secrets are not recorded.
    """

    def __init__(self, app: ASGIApp, surface: Callable[[str], str]) -> None:
        """`surface` returns the name of the surface that a path belongs to."""
        self._app = app
        self._surface = surface

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})["surface"] = self._surface(scope["path"])
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            match message["type"]:
                case "http.response.start" | "websocket.http.response.start":
                    status = int(message["status"])
                case "websocket.close":
                    refused = isinstance(scope["state"].get("refusal"), Unauthenticated)
                    status = 401 if refused or message.get("code") == _UNAUTHENTICATED else 200
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            if scope["type"] == "http":
                await self._record(scope, status)
            elif status in _REFUSED:
                await self._refused(scope, scope["state"].get("principal"), f"WS {_route(scope)}", status)

    async def _record(self, scope: Scope, status: int) -> None:
        method, state = scope["method"], scope["state"]
        action = f"{method} {_route(scope)}"
        changing, principal = method in _CHANGING, state.get("principal")
        if principal is None and changing and status != 401:
            principal = await _caller(scope)
        if principal is not None and (changing or (state.get("confidential") and status < _REFUSING)):
            services = await api_state(scope["app"]).source.services()
            await services.audit.record(_entry(scope, principal, action, status))
        elif status in _REFUSED or "signs_in" in state:
            await self._refused(scope, principal, action, status)

    async def _refused(self, scope: Scope, principal: Principal | None, action: str, status: int) -> None:
        try:
            services = await api_state(scope["app"]).source.services()
        except OrchestratorError:  # without services nothing was authenticated either
            return
        name = scope["state"].get("signs_in")
        caller = principal or Principal(NOBODY if name is None else services.audit.alias(name), frozenset())
        client = network_of(HTTPConnection({**scope, "type": "http"}))
        await services.audit.record_refused(_entry(scope, caller, action, status), client)


def confidential(request: Request) -> None:
    """Mark a route whose reads are recorded in the audit trail (a dependency)."""
    request.state.confidential = True


Confidential = Annotated[None, Depends(confidential)]


@asynccontextmanager
async def audited(services: Services, websocket: WebSocket, principal: Principal, action: str) -> AsyncIterator[None]:
    """Record one entry for an action over a socket, with the status that a request would have.

    Status 202: the socket ended first and the action continues.
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
        entry = _entry(websocket.scope, principal, f"WS {_route(websocket.scope)} {action}", status)
        await services.audit.record(entry)


async def _caller(scope: Scope) -> Principal | None:
    """Return the caller of a request that was refused before authentication: unknown route, unreadable body."""
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
        path=path[:_MAX_PATH_LENGTH],
        status=status,
        address=client[0] if client else None,
        request_id=scope["state"]["request_id"],
        surface=scope["state"].get("surface"),
    )
