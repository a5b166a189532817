"""Answers and errors in the one envelope of this surface (A-010, A-011, A-034, C-11, C-14)."""

import math
import uuid
from datetime import UTC, datetime
from typing import Any, Final

from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from structlog.contextvars import bind_contextvars

from api.dialects.ai_orchestra.models import Failed, Fault, Metadata, Version
from api.errors import BodyTooLate, HeadersTooLarge, MethodNotAllowed, UrlTooLong, error_route
from api.middleware import request_id
from orchestrator.domain.errors import (
    DeadlineExceeded,
    Forbidden,
    InvalidInput,
    LimitExceeded,
    NotFound,
    OrchestratorError,
    PayloadTooLarge,
    Unauthenticated,
    Unavailable,
    WrongState,
)

VALIDATION: Final = "VALIDATION_ERROR"
AUTHENTICATION: Final = "AUTHENTICATION_ERROR"
RATE_LIMIT: Final = "RATE_LIMIT_ERROR"

_STATUS: Final[dict[type, tuple[int, str]]] = {
    InvalidInput: (400, VALIDATION),
    BodyTooLate: (408, VALIDATION),
    PayloadTooLarge: (413, VALIDATION),
    UrlTooLong: (414, VALIDATION),
    HeadersTooLarge: (431, VALIDATION),
    WrongState: (400, VALIDATION),
    MethodNotAllowed: (405, VALIDATION),
    NotFound: (404, VALIDATION),
    Unauthenticated: (401, AUTHENTICATION),
    Forbidden: (403, AUTHENTICATION),
    LimitExceeded: (429, RATE_LIMIT),
    DeadlineExceeded: (504, "TIMEOUT_ERROR"),
    Unavailable: (503, "SERVICE_UNAVAILABLE"),
    OrchestratorError: (500, "INTERNAL_ERROR"),
}


def render(request: Request, error: OrchestratorError) -> Response:
    """The error as a response."""
    status, _ = _worded(error)
    headers: dict[str, str] = {}
    if isinstance(error, Unavailable | LimitExceeded):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = error.details["allow"]
    version: Version = "v1" if request.url.path.startswith("/chat/v1/") else "v2"
    body = Failed(metadata=metadata(request, version), error=fault(error))
    return Response(body.model_dump_json(), status, headers, media_type="application/json")


def fault(error: OrchestratorError) -> Fault:
    """The error in the words of the document."""
    return Fault(code=_worded(error)[1], message=error.message, details=_details(error))


def metadata(connection: HTTPConnection, version: Version = "v2") -> Metadata:
    """Which request is answered, and when."""
    return Metadata(request_id=request_uuid(connection), timestamp=datetime.now(UTC), version=version)


def request_uuid(connection: HTTPConnection) -> str:
    """The request's id as a UUID: the caller's own, one that always follows from it, or a new one.

    A new one is the request's from now on, in the log and in the header `X-Request-ID`, too.
    """
    known = request_id(connection)
    try:
        return str(uuid.UUID(known))
    except ValueError:
        pass
    if "x-request-id" in connection.headers:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, known))
    made = str(uuid.uuid4())
    connection.state.request_id = made
    bind_contextvars(request_id=made)
    return made


def _worded(error: OrchestratorError) -> tuple[int, str]:
    return next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)


def _details(error: OrchestratorError) -> dict[str, Any]:
    if isinstance(error, InvalidInput):
        return {"field": error.details["field"], "reason": error.details["expected"] or error.message}
    details = {name: value for name, value in error.details.items() if value is not None}
    if isinstance(error, Unavailable | LimitExceeded):
        details["retry_after"] = max(1, math.ceil(error.retry_after))
    return details


ChatRoute: Final[type[APIRoute]] = error_route(render)
