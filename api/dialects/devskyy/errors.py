"""Errors as this surface words them: `detail`, `error`, `message` (S-021, C-11, C-13, C-16)."""

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

_SAID: Final[dict[int, str]] = {
    400: "Invalid input parameters",
    401: "Invalid or missing authentication",
    403: "Insufficient permissions",
    429: "Rate limit exceeded",
    500: "System error",
    503: "Try again after `Retry-After` seconds",
}

ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    **{status: {"model": ErrorResponse, "description": said} for status, said in _SAID.items()},
    "default": {"model": ErrorResponse, "description": "Any other error"},
}


def render(request: Request, error: OrchestratorError) -> Response:
    """The error as a response. One that names a job carries its id as the answer would have."""
    status, headers = status_of(error), headers_of(error)
    if isinstance(error, Unavailable) and "job_id" in error.details:
        headers["X-Job-Id"] = error.details["job_id"]
    body = ErrorResponse(detail=error.message, error=status.phrase, message=error.message)
    return Response(body.model_dump_json(), status, headers, media_type="application/json")


DevSkyyRoute: Final[type[APIRoute]] = error_route(render)
