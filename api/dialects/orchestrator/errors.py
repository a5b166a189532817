"""Errors as this surface words them: `ErrorResponse` and FastAPI's `detail` in one body (C-12, C-13)."""

import math
from datetime import UTC, datetime
from typing import Any, Final

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from api.dialects.orchestrator.models import ErrorResponse
from api.errors import BodyTooLate, HeadersTooLarge, InvalidRequest, MethodNotAllowed, UrlTooLong, error_route
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

_STATUS: Final[dict[type, tuple[int, str]]] = {
    InvalidRequest: (422, "VALIDATION_ERROR"),
    InvalidInput: (400, "INVALID_INPUT"),
    BodyTooLate: (408, "BODY_TOO_LATE"),
    UrlTooLong: (414, "URL_TOO_LONG"),
    HeadersTooLarge: (431, "HEADERS_TOO_LARGE"),
    WrongState: (400, "INVALID_STATE"),
    PayloadTooLarge: (413, "PAYLOAD_TOO_LARGE"),
    IdempotencyReuse: (422, "IDEMPOTENCY_REUSE"),
    MethodNotAllowed: (405, "METHOD_NOT_ALLOWED"),
    Unauthenticated: (401, "UNAUTHENTICATED"),
    Forbidden: (403, "FORBIDDEN"),
    NotFound: (404, "NOT_FOUND"),
    LimitExceeded: (429, "RATE_LIMITED"),
    Unavailable: (503, "SERVICE_UNAVAILABLE"),
    OrchestratorError: (500, "INTERNAL_ERROR"),
}
_LIMITED: Final = "Rate limit exceeded"
_NOT_VALID: Final = "Invalid authentication credentials"
_ABSENT: Final = "Not authenticated"


def render(request: Request, error: OrchestratorError) -> Response:
    """The error as a response."""
    status, word = next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
    headers: dict[str, str] = {}
    if isinstance(error, Unavailable | LimitExceeded):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = error.details["allow"]
    body = ErrorResponse(
        error=word,
        message=error.message,
        details=_details(error),
        timestamp=datetime.now(UTC),
        request_id=request.headers.get("X-Request-ID"),
        detail=_detail(request, error),
    )
    return Response(body.model_dump_json(), status, headers, media_type="application/json")


def _detail(request: Request, error: OrchestratorError) -> str | list[dict[str, Any]]:
    """What FastAPI would have put there."""
    if isinstance(error, InvalidRequest):
        return error.faults
    if isinstance(error, LimitExceeded) and error.details["limit"] == "requests":
        return _LIMITED
    if isinstance(error, Unauthenticated):
        return _NOT_VALID if "authorization" in request.headers else _ABSENT
    return error.message


def _details(error: OrchestratorError) -> dict[str, Any] | None:
    """`{field, issue}` for bad input (M-044), else what the error says more."""
    if isinstance(error, InvalidInput):
        return {"field": error.details["field"], "issue": error.details["expected"] or error.message}
    return error.details or None


OrchestratorRoute: Final[type[APIRoute]] = error_route(render)
