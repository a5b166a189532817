"""Errors as this surface words them: `detail`, `error`, `message` (S-021, C-11, C-13, C-16)."""

import math
from http import HTTPStatus
from typing import Any, Final

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from api.dialects.devskyy.models import ErrorResponse
from api.errors import BodyTooLate, HeadersTooLarge, MethodNotAllowed, UrlTooLong, error_route
from orchestrator.domain.errors import (
    Forbidden,
    IdempotencyReuse,
    InvalidInput,
    LimitExceeded,
    NotFound,
    OrchestratorError,
    PayloadTooLarge,
    Unauthenticated,
    Unavailable,
    WrongState,
)

_STATUS: Final[dict[type, HTTPStatus]] = {
    InvalidInput: HTTPStatus.BAD_REQUEST,
    WrongState: HTTPStatus.BAD_REQUEST,
    BodyTooLate: HTTPStatus.REQUEST_TIMEOUT,
    PayloadTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UrlTooLong: HTTPStatus.REQUEST_URI_TOO_LONG,
    HeadersTooLarge: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    IdempotencyReuse: HTTPStatus.UNPROCESSABLE_ENTITY,
    MethodNotAllowed: HTTPStatus.METHOD_NOT_ALLOWED,
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    LimitExceeded: HTTPStatus.TOO_MANY_REQUESTS,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    OrchestratorError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
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
    status = next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
    headers: dict[str, str] = {}
    if isinstance(error, Unavailable | LimitExceeded):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = error.details["allow"]
    if isinstance(error, Unavailable) and "job_id" in error.details:
        headers["X-Job-Id"] = error.details["job_id"]
    body = ErrorResponse(detail=error.message, error=status.phrase, message=error.message)
    return Response(body.model_dump_json(), status, headers, media_type="application/json")


DevSkyyRoute: Final[type[APIRoute]] = error_route(render)
