"""Builds the application: routers, middleware, error handling. Opens no connection by itself."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exception_handlers import http_exception_handler
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from api import documents, health
from api.audit_trail import AuditTrail
from api.deps import ApiState, ServiceSource, api_state
from api.errors import MethodNotAllowed, as_domain
from api.hardening import ApiOptions, Hardening
from api.head import HeadAsGet
from api.middleware import BodyLimit, HttpMetrics, Observation, RequestEdge
from api.openapi import DESCRIPTION, TITLE, VERSION, native_document
from api.page.surface import PAGE
from api.prefix import PathPrefix
from api.sockets import SocketMetrics
from api.streaming import closed_by_signals
from api.surfaces import SURFACES, ServedSurfaces, render, surface_of
from orchestrator.domain.errors import Unavailable

log = structlog.get_logger(__name__)

METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")
_BEFORE_ENDPOINT = frozenset({405, 408, 413, 415})  # refused before an endpoint runs


class OrchestratorApi(FastAPI):
    """A FastAPI application whose OpenAPI document is that of the native surface (M-048)."""

    def openapi(self) -> dict[str, Any]:
        """Return the document of the native surface."""
        self.openapi_schema = native_document()
        return self.openapi_schema


def create_app(
    source: ServiceSource,
    *,
    options: Callable[[], ApiOptions] = ApiOptions,
    registry: CollectorRegistry | None = None,
) -> FastAPI:
    """Return the application over one source of services. It opens the source at start-up or at the first request.

    `options` returns the limits of the edge; it is called when the application starts.
    `registry` receives the HTTP metrics. The default is a new one, so that several applications can run in one process.
    """
    registry = registry or CollectorRegistry()
    state = ApiState(source=source, registry=registry, options=options, sockets=SocketMetrics(registry))
    app = OrchestratorApi(
        title=TITLE,
        description=DESCRIPTION,
        version=VERSION,
        lifespan=_lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
    )
    app.state.api = state
    # Not `include_router`: it builds each route again, to add prefixes and dependencies, which ours have already.
    for router in (health.router, documents.router, *(part for each in (*SURFACES, PAGE) for part in each.routers)):
        app.router.routes.extend(router.routes)
    app.add_exception_handler(HTTPException, _refused)
    # The last middleware added is the outermost.
    app.add_middleware(HeadAsGet)
    app.add_middleware(BodyLimit, limit=lambda: options().max_body_bytes)
    app.add_middleware(ServedSurfaces, options=options)
    app.add_middleware(Hardening, options=options, render=render)
    app.add_middleware(Observation, metrics=HttpMetrics(state.registry))
    app.add_middleware(RequestEdge, render=render)
    app.add_middleware(AuditTrail, surface=lambda path: surface_of(path).name)
    app.add_middleware(PathPrefix, options=options)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    state = api_state(app)
    state.closing.clear()
    try:
        await state.source.services()
    except Unavailable as fault:
        log.warning("not_ready_yet", error=fault.message)
    with closed_by_signals(state.closing):
        yield
    state.closing.set()
    await state.source.aclose()


async def _refused(request: Request, fault: Exception) -> Response:
    """Answer an `HTTPException`: of a plain endpoint as FastAPI does (M-045), any other in the shape of its surface."""
    if isinstance(fault, HTTPException) and fault.status_code not in _BEFORE_ENDPOINT and "endpoint" in request.scope:
        return await http_exception_handler(request, fault)
    error = as_domain(fault)
    if isinstance(error, MethodNotAllowed):  # the router names the methods of one route only
        error = MethodNotAllowed(error.message, allow=", ".join(_methods_here(request)))
    return render(request, error)


def _methods_here(request: Request) -> list[str]:
    """Return the methods that the path of a request accepts."""
    routes = request.app.router.routes
    methods = [
        method
        for method in METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]
    return sorted([*methods, "HEAD"]) if "GET" in methods else methods
