"""Answers and errors in the one envelope of this surface (A-010, A-011, A-034, C-11, C-14)."""

import uuid
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from structlog.contextvars import bind_contextvars

from api.dialects.ai_orchestra.models import Failed, Fault, Metadata, Version
from api.errors import error_route, headers_of, status_of, wait_of
from api.middleware import request_id
from orchestrator.domain.errors import (
    DeadlineExceeded,
    InvalidInput,
    LimitExceeded,
    OrchestratorError,
    Unavailable,
)

VALIDATION: Final = "VALIDATION_ERROR"
AUTHENTICATION: Final = "AUTHENTICATION_ERROR"
RATE_LIMIT: Final = "RATE_LIMIT_ERROR"

_CODES: Final = {
    HTTPStatus.UNAUTHORIZED: AUTHENTICATION,
    HTTPStatus.FORBIDDEN: AUTHENTICATION,
    HTTPStatus.TOO_MANY_REQUESTS: RATE_LIMIT,
    HTTPStatus.GATEWAY_TIMEOUT: "TIMEOUT_ERROR",
    HTTPStatus.SERVICE_UNAVAILABLE: "SERVICE_UNAVAILABLE",
    HTTPStatus.INTERNAL_SERVER_ERROR: "INTERNAL_ERROR",
}


def render(request: Request, error: OrchestratorError) -> Response:
    """The error as a response."""
    version: Version = "v1" if request.url.path.startswith("/chat/v1/") else "v2"
    body = Failed(metadata=metadata(request, version), error=fault(error))
    return Response(body.model_dump_json(), _status(error), headers_of(error), media_type="application/json")


def fault(error: OrchestratorError) -> Fault:
    """The error in the words of the document."""
    return Fault(code=_CODES.get(_status(error), VALIDATION), message=error.message, details=_details(error))


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


def _status(error: OrchestratorError) -> HTTPStatus:
    """Only this surface has a word for a wait that ended."""
    return HTTPStatus.GATEWAY_TIMEOUT if isinstance(error, DeadlineExceeded) else status_of(error)


def _details(error: OrchestratorError) -> dict[str, Any]:
    if isinstance(error, InvalidInput):
        return {"field": error.details["field"], "reason": error.details["expected"] or error.message}
    details = {name: value for name, value in error.details.items() if value is not None}
    if isinstance(error, Unavailable | LimitExceeded):
        details["retry_after"] = wait_of(error)
    return details


ChatRoute: Final[type[APIRoute]] = error_route(render)
