"""All surfaces of the application. A new surface is one folder and one line here."""

from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from api.dialects.agentorchestra.surface import AGENTORCHESTRA
from api.dialects.ai_orchestra.surface import AI_ORCHESTRA
from api.dialects.devskyy.surface import DEVSKYY
from api.dialects.orchestrator.surface import ORCHESTRATOR
from api.dialects.surface import Surface
from api.hardening import ApiOptions, refuse
from api.page.surface import PAGE
from api.v1.surface import DEVORA
from orchestrator.domain.errors import NotFound, OrchestratorError

SURFACES: Final[tuple[Surface, ...]] = (DEVORA, AI_ORCHESTRA, AGENTORCHESTRA, DEVSKYY, ORCHESTRATOR)
_SERVED: Final = (*SURFACES, PAGE)  # The page has no OpenAPI document: its routes are for browsers.


def surface_of(path: str) -> Surface:
    """Return the surface of a path: the one with the longest matching prefix (C-07)."""
    return max(_SERVED, key=lambda surface: surface.claims(path))


def render(request: Request, error: OrchestratorError) -> Response:
    """Return an error that arose outside a route, in the shape of the surface of its path."""
    return surface_of(request.url.path).render(request, error)


class ServedSurfaces:
    """Answers 404 at the paths of surfaces that are switched off. `options` is called when the application starts."""

    def __init__(self, app: ASGIApp, options: Callable[[], ApiOptions]) -> None:
        served = options().surfaces
        self._app = app
        self._off: list[BaseRoute] = [
            route
            for surface in _SERVED
            if served is not None and surface.name not in served
            for router in surface.routers
            for route in router.routes
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "lifespan" and any(route.matches(scope)[0] is not Match.NONE for route in self._off):
            await refuse(NotFound("This surface is switched off here"), render, scope, receive, send)
            return
        await self._app(scope, receive, send)
