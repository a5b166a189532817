"""Definition of this surface."""

from typing import Final

from api.dialects.orchestrator import routes, socket
from api.dialects.orchestrator.errors import render
from api.dialects.surface import Surface
from api.endpoints import routers

ORCHESTRATOR: Final = Surface(
    name="orchestrator",
    title="Multi-Agent Orchestrator API",
    version="1.0.0",
    description="API for orchestrating AI agents in software development workflows",
    prefixes=("/", "/api/v1/execute-workflow", "/api/v2/execute-workflow"),
    routers=(routes.router, socket.router, *routers()),
    render=render,
)
