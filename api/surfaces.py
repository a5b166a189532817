"""Every surface of the application; a further one is one line here and one folder."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.dialects.agentorchestra.surface import AGENTORCHESTRA
from api.dialects.ai_orchestra.surface import AI_ORCHESTRA
from api.dialects.devskyy.surface import DEVSKYY
from api.dialects.orchestrator.surface import ORCHESTRATOR
from api.dialects.surface import Surface
from api.v1.surface import DEVORA
from orchestrator.domain.errors import OrchestratorError

SURFACES: Final[tuple[Surface, ...]] = (DEVORA, AI_ORCHESTRA, AGENTORCHESTRA, DEVSKYY, ORCHESTRATOR)


def surface_of(path: str) -> Surface:
    """The surface that words the errors of a path: the one whose prefix is longest (C-07)."""
    return max(SURFACES, key=lambda surface: surface.claims(path))


def render(request: Request, error: OrchestratorError) -> Response:
    """An error outside every route, in the words of the surface that its path belongs to."""
    return surface_of(request.url.path).render(request, error)
