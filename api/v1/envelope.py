"""Errors as the native API words them (D-095, D-096)."""

import math
from datetime import UTC, datetime
from typing import Any, Final

from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from api.errors import BodyTooLate, HeadersTooLarge, MethodNotAllowed, UrlTooLong, error_route
from api.middleware import request_id
from api.v1.wire import Timestamp, absent
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

_INTERNAL: Final = (500, "internal_error")
_STATUS: Final[dict[type, tuple[int, str]]] = {
    InvalidInput: (400, "invalid_request"),
    WrongState: (400, "invalid_request"),
    BodyTooLate: (408, "invalid_request"),
    PayloadTooLarge: (413, "invalid_request"),
    UrlTooLong: (414, "invalid_request"),
    HeadersTooLarge: (431, "invalid_request"),
    IdempotencyReuse: (422, "invalid_request"),
    MethodNotAllowed: (405, "invalid_request"),
    Unauthenticated: (401, "authentication_failed"),
    Forbidden: (403, "forbidden"),
    NotFound: (404, "not_found"),
    LimitExceeded: (429, "rate_limit_exceeded"),
    Unavailable: (503, "service_unavailable"),
    OrchestratorError: _INTERNAL,
}


class ErrorBody(BaseModel):
    """One error. For bad input `details` names the `field`, what was `provided` and what was `expected`."""

    code: str
    message: str
    retry_after: int | None = Field(default=None, exclude_if=absent, description="Seconds; of a 429 only (D-067).")
    details: dict[str, Any] = Field(default_factory=dict)
    request_id: str
    timestamp: Timestamp


class ErrorEnvelope(BaseModel):
    """Every error's body."""

    error: ErrorBody


ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    400: {"model": ErrorEnvelope, "description": "`invalid_request`: the request, or the job's state, forbids it"},
    401: {"model": ErrorEnvelope, "description": "`authentication_failed`: no API key, or not a valid one"},
    403: {"model": ErrorEnvelope, "description": "`forbidden`: the key lacks the scope"},
    429: {"model": ErrorEnvelope, "description": "`rate_limit_exceeded`: try again after `Retry-After` seconds"},
    500: {"model": ErrorEnvelope, "description": "`internal_error`"},
    503: {"model": ErrorEnvelope, "description": "`service_unavailable`: try again after `Retry-After` seconds"},
    "default": {"model": ErrorEnvelope, "description": "Any other error"},
}
NOT_FOUND: Final[dict[int | str, dict[str, Any]]] = {
    404: {"model": ErrorEnvelope, "description": "`not_found`: no such resource for this caller"}
}


def status_of(error: OrchestratorError) -> tuple[int, str]:
    """HTTP status and machine code of a domain error: those of its nearest listed ancestor."""
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), _INTERNAL)


def envelope(request: HTTPConnection, error: OrchestratorError) -> ErrorEnvelope:
    """The error's body, of a request or in a socket's frame."""
    return ErrorEnvelope(
        error=ErrorBody(
            code=status_of(error)[1],
            message=error.message,
            retry_after=_seconds(error.retry_after) if isinstance(error, LimitExceeded) else None,
            details=_details(error),
            request_id=request_id(request),
            timestamp=datetime.now(UTC),
        )
    )


def render(request: Request, error: OrchestratorError) -> Response:
    """The error as a response, with the headers that its status asks for."""
    headers: dict[str, str] = {}
    if isinstance(error, Unavailable | LimitExceeded):
        headers["Retry-After"] = str(_seconds(error.retry_after))
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = error.details["allow"]
    body = envelope(request, error).model_dump_json()
    return Response(body, status_of(error)[0], headers, media_type="application/json")


def _seconds(wait: float) -> int:
    return max(1, math.ceil(wait))


def _details(error: OrchestratorError) -> dict[str, Any]:
    if isinstance(error, InvalidInput):
        if error.details["field"] is None:
            return {key: value for key, value in error.details.items() if value is not None}
        return error.details
    return error.details


V1Route: Final[type[APIRoute]] = error_route(render)
