"""Error bodies of the native API (D-095, D-096)."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, Literal

from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from api import errors
from api.middleware import request_id
from api.routes import error_route
from api.v1.wire import Timestamp, absent
from orchestrator.domain.errors import (
    InvalidInput,
    LimitExceeded,
    ModelNotConfigured,
    OrchestratorError,
)

ErrorCode = Literal[
    "invalid_request",
    "model_not_configured",
    "authentication_failed",
    "forbidden",
    "not_found",
    "conflict",
    "rate_limit_exceeded",
    "internal_error",
    "service_unavailable",
]
_CODES: Final[dict[HTTPStatus, ErrorCode]] = {
    HTTPStatus.UNAUTHORIZED: "authentication_failed",
    HTTPStatus.FORBIDDEN: "forbidden",
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.CONFLICT: "conflict",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_exceeded",
    HTTPStatus.INTERNAL_SERVER_ERROR: "internal_error",
    HTTPStatus.SERVICE_UNAVAILABLE: "service_unavailable",
}


class ErrorBody(BaseModel):
    """One error. For invalid input `details` has `field`, `provided` and `expected`."""

    code: ErrorCode
    message: str
    retry_after: int | None = Field(
        default=None, exclude_if=absent, description="Seconds to wait. Only in a 429 (D-067)."
    )
    details: dict[str, Any] = Field(default_factory=dict)
    request_id: str
    timestamp: Timestamp


class ErrorEnvelope(BaseModel):
    """The body of every error."""

    error: ErrorBody


ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    400: {
        "model": ErrorEnvelope,
        "description": "`invalid_request`: the request is invalid, or the job's state forbids it; "
        "`model_not_configured`: no provider serves the model",
    },
    401: {"model": ErrorEnvelope, "description": "`authentication_failed`: no valid API key"},
    403: {"model": ErrorEnvelope, "description": "`forbidden`: the key lacks the scope"},
    429: {"model": ErrorEnvelope, "description": "`rate_limit_exceeded`: try again after `Retry-After` seconds"},
    500: {"model": ErrorEnvelope, "description": "`internal_error`"},
    503: {"model": ErrorEnvelope, "description": "`service_unavailable`: try again after `Retry-After` seconds"},
    "default": {"model": ErrorEnvelope, "description": "Any other error"},
}
NOT_FOUND: Final[dict[int | str, dict[str, Any]]] = {
    404: {"model": ErrorEnvelope, "description": "`not_found`: the resource does not exist for this caller"}
}
ONCE: Final[dict[int | str, dict[str, Any]]] = {
    409: {
        "model": ErrorEnvelope,
        "description": "`conflict`: the first request with this `Idempotency-Key` is still running",
    },
    422: {"model": ErrorEnvelope, "description": "`invalid_request`: `Idempotency-Key` was used with another request"},
}


def status_of(error: OrchestratorError) -> tuple[int, ErrorCode]:
    """Return HTTP status and error code of a domain error (D-095). Other faults of the caller are `invalid_request`."""
    status = errors.status_of(error)
    if isinstance(error, ModelNotConfigured):
        return int(status), "model_not_configured"
    return int(status), _CODES.get(status, "invalid_request")


def envelope(request: HTTPConnection, error: OrchestratorError) -> ErrorEnvelope:
    """Return the body of an error, for a response or a socket frame."""
    return ErrorEnvelope(
        error=ErrorBody(
            code=status_of(error)[1],
            message=error.message,
            retry_after=errors.wait_of(error) if isinstance(error, LimitExceeded) else None,
            details=_details(error),
            request_id=request_id(request),
            timestamp=datetime.now(UTC),
        )
    )


def render(request: Request, error: OrchestratorError) -> Response:
    """Return the error as a response."""
    body = envelope(request, error).model_dump_json()
    return Response(body, status_of(error)[0], errors.headers_of(error), media_type="application/json")


def _details(error: OrchestratorError) -> dict[str, Any]:
    if isinstance(error, InvalidInput):
        if error.details["field"] is None:
            return {key: value for key, value in error.details.items() if value is not None}
        return error.details
    return error.details


V1Route: Final[type[APIRoute]] = error_route(render)
