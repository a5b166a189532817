"""The envelope of answers and errors of this surface (A-010, A-011, A-034, C-11, C-14)."""

import uuid
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from structlog.contextvars import bind_contextvars

from api.dialects.ai_orchestra.models import Failed, Fault, Metadata, Version
from api.errors import headers_of, status_of, wait_of
from api.middleware import request_id
from api.routes import error_route
from api.validation import InvalidRequest
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
_INVALID: Final = "Invalid request parameters"
_MISSING: Final = "Required field missing"

_CODES: Final = {
    HTTPStatus.UNAUTHORIZED: AUTHENTICATION,
    HTTPStatus.FORBIDDEN: AUTHENTICATION,
    HTTPStatus.TOO_MANY_REQUESTS: RATE_LIMIT,
    HTTPStatus.GATEWAY_TIMEOUT: "TIMEOUT_ERROR",
    HTTPStatus.SERVICE_UNAVAILABLE: "SERVICE_UNAVAILABLE",
    HTTPStatus.INTERNAL_SERVER_ERROR: "INTERNAL_ERROR",
}


def render(request: Request, error: OrchestratorError) -> Response:
    """Return the error as a response."""
    version: Version = "v1" if request.url.path.startswith("/chat/v1/") else "v2"
    body = Failed(metadata=metadata(request, version), error=fault(error))
    return Response(body.model_dump_json(), _status(error), headers_of(error), media_type="application/json")


def fault(error: OrchestratorError) -> Fault:
    """Return the error as documented: invalid input always has the same message, with the reason in `details`."""
    status = _status(error)
    invalid = isinstance(error, InvalidInput) and status is HTTPStatus.BAD_REQUEST
    message = _INVALID if invalid else error.message
    return Fault(code=_CODES.get(status, VALIDATION), message=message, details=_details(error))


def metadata(connection: HTTPConnection, version: Version = "v2") -> Metadata:
    """Return the metadata of an answer."""
    return Metadata(request_id=_answered_id(connection), timestamp=datetime.now(UTC), version=version)


def _answered_id(connection: HTTPConnection) -> str:
    """Return the caller's own request id or a UUID, which then replaces the id in the log and in `X-Request-ID`."""
    current = request_id(connection)
    if current == connection.headers.get("x-request-id") or _is_uuid(current):
        return current
    new_id = str(uuid.uuid4())
    connection.state.request_id = new_id
    bind_contextvars(request_id=new_id)
    return new_id


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _status(error: OrchestratorError) -> HTTPStatus:
    """Return the status. Only this surface has one for a synchronous wait that ran out (504)."""
    return HTTPStatus.GATEWAY_TIMEOUT if isinstance(error, DeadlineExceeded) else status_of(error)


def _details(error: OrchestratorError) -> dict[str, Any]:
    if isinstance(error, InvalidInput):
        missing = isinstance(error, InvalidRequest) and error.missing
        return {"field": error.details["field"], "reason": _MISSING if missing else error.message}
    details = {name: value for name, value in error.details.items() if value is not None}
    if isinstance(error, Unavailable | LimitExceeded):
        details["retry_after"] = wait_of(error)
    return details


ChatRoute: Final[type[APIRoute]] = error_route(render)
