"""Definition of this surface."""

from typing import Final

from api.dialects.agentorchestra import agents, executions, saved, system
from api.dialects.agentorchestra.errors import render
from api.dialects.surface import Surface

AGENTORCHESTRA: Final = Surface(
    name="agentorchestra",
    title="AgentOrchestra API",
    version="1.0.0",
    description="Users' agents on eleven frameworks: executions, configurations, webhooks, dashboard.",
    prefixes=("/api",),
    routers=(agents.router, executions.router, saved.router, system.router),
    render=render,
    document="/api/openapi.json",
)
