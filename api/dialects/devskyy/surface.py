"""Definition of this surface."""

from typing import Final

from api.dialects.devskyy import auth, routes
from api.dialects.devskyy.errors import render
from api.dialects.surface import Surface

DEVSKYY: Final = Surface(
    name="devskyy",
    title="DevSkyy Orchestration API",
    version=routes.VERSION,
    description="Partnerships of agents, strategic decisions, and the state of the deployment.",
    prefixes=("/api/v1/orchestration", "/api/v1/auth"),
    routers=(auth.router, routes.router),
    render=render,
)
