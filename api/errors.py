"""Maps exceptions of a route to one domain error, and domain errors to a status and headers (C-11)."""

import math
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.validation import invalid_request
from orchestrator.domain.errors import (
    Conflict,
    DeadlineExceeded,
    Forbidden,
    IdempotencyReuse,
    InvalidInput,
    LimitExceeded,
    Misconfigured,
    NotFound,
    OrchestratorError,
    PayloadTooLarge,
    RequestInProgress,
    StepFailed,
    Unauthenticated,
    Unavailable,
    WrongState,
)

Render = Callable[[Request, OrchestratorError], Response]

SHOULD_RETRY: Final = "x-should-retry"
WAITING_STATUSES: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
RETRY_AFTER: Final = "2"  # seconds, of answers that are no errors, such as a readiness of 503
_MAX_WAIT: Final = 3600.0  # seconds; no client waits longer, for example for the next month


class MethodNotAllowed(OrchestratorError):
    """The path exists for other methods only (405)."""

    code = "method_not_allowed"


class UrlTooLong(InvalidInput):
    """The URL is over the limit (414)."""

    code = "url_too_long"


class HeadersTooLarge(InvalidInput):
    """The header block is over the limit (431)."""

    code = "headers_too_large"


class UnsupportedEncoding(InvalidInput):
    """The body is compressed (415)."""

    code = "unsupported_encoding"


class BodyTooLate(InvalidInput):
    """The body did not arrive in time (408)."""

    code = "body_too_late"


# Errors that a caller may see. Any other is an internal error, whose text goes to the log only.
EXPECTED: Final = (
    InvalidInput,
    Unauthenticated,
    Forbidden,
    NotFound,
    StepFailed,
    WrongState,
    RequestInProgress,
    LimitExceeded,
    Unavailable,
    MethodNotAllowed,
)

STATUS: Final[dict[type, HTTPStatus]] = {
    InvalidInput: HTTPStatus.BAD_REQUEST,
    WrongState: HTTPStatus.BAD_REQUEST,
    Conflict: HTTPStatus.CONFLICT,
    BodyTooLate: HTTPStatus.REQUEST_TIMEOUT,
    PayloadTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UrlTooLong: HTTPStatus.REQUEST_URI_TOO_LONG,
    UnsupportedEncoding: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HeadersTooLarge: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    IdempotencyReuse: HTTPStatus.UNPROCESSABLE_ENTITY,
    MethodNotAllowed: HTTPStatus.METHOD_NOT_ALLOWED,
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    RequestInProgress: HTTPStatus.CONFLICT,
    LimitExceeded: HTTPStatus.TOO_MANY_REQUESTS,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    OrchestratorError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def status_of(error: OrchestratorError) -> HTTPStatus:
    """Return the status of a domain error: that of its nearest listed base class."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def wait_of(error: Unavailable | LimitExceeded | RequestInProgress) -> int:
    """Return the seconds to wait before another try: whole, at least one."""
    return max(1, math.ceil(error.retry_after))


def should_retry(error: OrchestratorError) -> bool | None:
    """Return whether a client may send the same request again, or None if that is not known."""
    if not isinstance(error, EXPECTED):
        return None
    match error:
        case DeadlineExceeded() | Misconfigured():  # the job continues; only an operator can help
            return False
        case LimitExceeded():
            return error.retry_after <= _MAX_WAIT
        case _:
            return isinstance(error, Unavailable | RequestInProgress | BodyTooLate)


def headers_of(error: OrchestratorError) -> dict[str, str]:
    """Return the headers of an error, the same on every surface."""
    headers: dict[str, str] = {}
    if (retry := should_retry(error)) is not None:
        headers[SHOULD_RETRY] = str(retry).lower()
    match error:
        case Unavailable() | LimitExceeded() | RequestInProgress():
            headers["Retry-After"] = str(wait_of(error))
        case Unauthenticated():
            headers["WWW-Authenticate"] = "Bearer"
        case MethodNotAllowed():
            headers["Allow"] = error.details["allow"]
    return headers


def internal() -> OrchestratorError:
    """Return the error for an internal fault. It contains no detail; the log has it under the request id."""
    return OrchestratorError("Internal error. Quote the request id when you report it.")


def as_domain(fault: Exception) -> OrchestratorError:
    """Return the domain error for any exception."""
    if isinstance(fault, OrchestratorError):
        return fault
    if isinstance(fault, RequestValidationError):
        return invalid_request(fault)
    if not isinstance(fault, HTTPException):
        return internal()
    if fault.status_code == 404:
        return NotFound("There is nothing at this path")
    if fault.status_code == 405:
        return MethodNotAllowed("This path does not take this method", allow=(fault.headers or {}).get("Allow", ""))
    if fault.status_code == 413:
        return PayloadTooLarge(str(fault.detail), field="body", expected="a smaller body")
    if fault.status_code == 415:
        return UnsupportedEncoding(str(fault.detail), field="Content-Encoding", expected="no Content-Encoding")
    if fault.status_code == 408:
        return BodyTooLate(str(fault.detail), field="body", expected="the whole body, sooner")
    return InvalidInput("The body cannot be read as JSON", field="body", expected="JSON object in UTF-8")
