"""Error bodies of this surface: `ErrorResponse` with FastAPI's `detail` (C-12, C-13)."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from api.dialects.orchestrator.models import ErrorResponse
from api.errors import headers_of, status_of
from api.middleware import request_id
from api.routes import error_route
from api.validation import InvalidRequest
from orchestrator.domain.errors import (
    InvalidInput,
    LimitExceeded,
    OrchestratorError,
    Unauthenticated,
)

_CODES: Final = {
    HTTPStatus.BAD_REQUEST: "INVALID_INPUT",
    HTTPStatus.REQUEST_TIMEOUT: "BODY_TOO_LATE",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "PAYLOAD_TOO_LARGE",
    HTTPStatus.REQUEST_URI_TOO_LONG: "URL_TOO_LONG",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "HEADERS_TOO_LARGE",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "UNSUPPORTED_ENCODING",
    HTTPStatus.UNPROCESSABLE_ENTITY: "VALIDATION_ERROR",
    HTTPStatus.METHOD_NOT_ALLOWED: "METHOD_NOT_ALLOWED",
    HTTPStatus.UNAUTHORIZED: "UNAUTHENTICATED",
    HTTPStatus.FORBIDDEN: "FORBIDDEN",
    HTTPStatus.NOT_FOUND: "NOT_FOUND",
    HTTPStatus.CONFLICT: "CONFLICT",
    HTTPStatus.TOO_MANY_REQUESTS: "RATE_LIMITED",
    HTTPStatus.SERVICE_UNAVAILABLE: "SERVICE_UNAVAILABLE",
    HTTPStatus.INTERNAL_SERVER_ERROR: "INTERNAL_ERROR",
}
_LIMITED: Final = "Rate limit exceeded"
_NOT_VALID: Final = "Invalid authentication credentials"
_ABSENT: Final = "Not authenticated"


def render(request: Request, error: OrchestratorError) -> Response:
    """Return the error as a response."""
    # FastAPI's own status for an invalid body (M-024).
    status = HTTPStatus.UNPROCESSABLE_ENTITY if isinstance(error, InvalidRequest) else status_of(error)
    body = ErrorResponse(
        error=_CODES[status],
        message=error.message,
        details=_details(error),
        timestamp=datetime.now(UTC),
        request_id=request_id(request),
        detail=_detail(request, error),
    )
    return Response(body.model_dump_json(), status, headers_of(error), media_type="application/json")


def _detail(request: Request, error: OrchestratorError) -> str | list[dict[str, Any]]:
    """Return `detail` as FastAPI would."""
    if isinstance(error, InvalidRequest):
        return error.faults
    if isinstance(error, LimitExceeded) and error.details["limit"] == "requests":
        return _LIMITED
    if isinstance(error, Unauthenticated):
        return _NOT_VALID if "authorization" in request.headers else _ABSENT
    return error.message


def _details(error: OrchestratorError) -> dict[str, Any] | None:
    """Return `{field, issue}` for invalid input (M-044), else the details of the error."""
    if isinstance(error, InvalidRequest):
        issue = "required field missing" if error.missing else f"expected {error.details['expected']}"
        return {"field": error.details["field"], "issue": issue}
    if isinstance(error, InvalidInput):
        return {"field": error.details["field"], "issue": error.details["expected"] or error.message}
    return error.details or None


OrchestratorRoute: Final[type[APIRoute]] = error_route(render)
