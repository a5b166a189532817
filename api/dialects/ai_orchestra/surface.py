"""Definition of this surface."""

from typing import Final

from api.dialects.ai_orchestra import routes, socket
from api.dialects.ai_orchestra.errors import render
from api.dialects.surface import Surface

AI_ORCHESTRA: Final = Surface(
    name="ai_orchestra",
    title="AI Orchestra API",
    version="2.0.0",
    description="Unified API for intelligent agent orchestration",
    prefixes=("/chat", "/readiness"),
    routers=(routes.router, socket.router),
    render=render,
)
