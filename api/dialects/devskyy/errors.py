"""Error bodies of this surface: `detail`, `error`, `message` (S-021, C-11, C-13, C-16)."""

from typing import Any, Final

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from api.dialects.devskyy.models import ErrorResponse
from api.errors import headers_of, status_of
from api.routes import error_route
from orchestrator.domain.errors import (
    OrchestratorError,
    Unavailable,
)

_DESCRIPTIONS: Final[dict[int, str]] = {
    400: "Invalid input parameters",
    401: "Invalid or missing authentication",
    403: "Insufficient permissions",
    429: "Rate limit exceeded",
    500: "System error",
    503: "Try again after `Retry-After` seconds",
}

ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    **{status: {"model": ErrorResponse, "description": text} for status, text in _DESCRIPTIONS.items()},
    "default": {"model": ErrorResponse, "description": "Any other error"},
}


def render(request: Request, error: OrchestratorError) -> Response:
    """Return the error as a response. If it names a job, it has the same `X-Job-Id` header as the answer."""
    status, headers = status_of(error), headers_of(error)
    if isinstance(error, Unavailable) and "job_id" in error.details:
        headers["X-Job-Id"] = error.details["job_id"]
    body = ErrorResponse(detail=error.message, error=status.phrase, message=error.message)
    return Response(body.model_dump_json(), status, headers, media_type="application/json")


DevSkyyRoute: Final[type[APIRoute]] = error_route(render)
