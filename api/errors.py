"""From whatever a route raises to one domain error, and from there to the dialect's own renderer (C-11)."""

import math
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.domain.errors import (
    Forbidden,
    IdempotencyReuse,
    InvalidInput,
    LimitExceeded,
    NotFound,
    OrchestratorError,
    PayloadTooLarge,
    StepFailed,
    Unauthenticated,
    Unavailable,
    WrongState,
)

log = structlog.get_logger(__name__)

Render = Callable[[Request, OrchestratorError], Response]


class MethodNotAllowed(OrchestratorError):
    """The path exists, for other methods."""

    code = "method_not_allowed"


class InvalidRequest(InvalidInput):
    """The request does not have the shape that the route declares. `faults` are FastAPI's own words for all of it."""

    def __init__(
        self,
        message: str,
        *,
        faults: list[dict[str, Any]],
        field: str,
        provided: Any = None,
        expected: str | None = None,
    ) -> None:
        super().__init__(message, field=field, provided=provided, expected=expected)
        self.faults = faults


class UrlTooLong(InvalidInput):
    """The URL is over the limit (414)."""

    code = "url_too_long"


class HeadersTooLarge(InvalidInput):
    """The header block is over the limit (431)."""

    code = "headers_too_large"


class BodyTooLate(InvalidInput):
    """The body did not arrive in time (408)."""

    code = "body_too_late"


# What a caller may meet. Everything else is a fault of ours, whose text stays in the log.
EXPECTED: Final = (
    InvalidInput,
    Unauthenticated,
    Forbidden,
    NotFound,
    StepFailed,
    WrongState,
    LimitExceeded,
    Unavailable,
    MethodNotAllowed,
)

_TYPES: Final = {
    "bool": "boolean",
    "dict": "object",
    "float": "number",
    "int": "integer",
    "list": "array",
    "model": "object",
    "string": "string",
}
_BOUNDS: Final = {
    "ge": "at least {}",
    "gt": "more than {}",
    "le": "at most {}",
    "lt": "less than {}",
    "max_length": "at most {} {}",
    "min_length": "at least {} {}",
}
_REQUIRED: Final = {"input": "object"}
_LONGEST_ECHO: Final = 200
_UNTOLD: Final = frozenset({"password", "secret", "token", "refresh_token"})


STATUS: Final[dict[type, HTTPStatus]] = {
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


def status_of(error: OrchestratorError) -> HTTPStatus:
    """The status of a domain error: that of its nearest listed ancestor. Surfaces choose only their words for it."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def wait_of(error: Unavailable | LimitExceeded) -> int:
    """Whole seconds, at least one, after which another try is worth it."""
    return max(1, math.ceil(error.retry_after))


def headers_of(error: OrchestratorError) -> dict[str, str]:
    """The headers that an error's status asks for, on every surface."""
    if isinstance(error, Unavailable | LimitExceeded):
        return {"Retry-After": str(wait_of(error))}
    if isinstance(error, Unauthenticated):
        return {"WWW-Authenticate": "Bearer"}
    return {"Allow": error.details["allow"]} if isinstance(error, MethodNotAllowed) else {}


def error_route(render: Render) -> type[APIRoute]:
    """A route class whose endpoints, dependencies and request parsing fail in one dialect's words."""

    class ErrorRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def answer(request: Request) -> Response:
                try:
                    return await handle(request)
                except (*EXPECTED, RequestValidationError, HTTPException) as fault:
                    return render(request, as_domain(fault))
                except Exception:
                    log.exception("request_failed", path=request.url.path)
                    return render(request, internal())

            return answer

    return ErrorRoute


def internal() -> OrchestratorError:
    """The error for a fault of ours: nothing of it leaves the process but the request id."""
    return OrchestratorError("Internal error. Quote the request id when you report it.")


def as_domain(fault: Exception) -> OrchestratorError:
    """The domain error that says the same."""
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
    if fault.status_code == 408:
        return BodyTooLate(str(fault.detail), field="body", expected="the whole body, sooner")
    return InvalidInput("The body cannot be read as JSON", field="body", expected="JSON object in UTF-8")


def invalid_request(fault: RequestValidationError) -> InvalidRequest:
    """The first thing that is wrong with a request, with the field's name, what came and what was expected (D-096)."""
    error = fault.errors()[0]
    faults = [{"type": one["type"], "loc": list(one["loc"]), "msg": one["msg"]} for one in fault.errors()]
    place, given, context = error["loc"], error.get("input"), error.get("ctx") or {}
    # Two levels name a field; deeper ones are pydantic's own words for the types in between.
    name = ".".join(str(part) for part in place[1:3] if isinstance(part, str)) or "body"
    provided = None if _UNTOLD.intersection(place) else echo(given)
    match error["type"]:
        case "json_invalid":
            message = f"The body is not JSON: {context.get('error', 'syntax error')} at character {place[-1]}"
            return InvalidRequest(message, faults=faults, field="body", expected="JSON object")
        case "missing" if name == "body":
            return InvalidRequest("Missing request body", faults=faults, field="body", expected="JSON object")
        case "missing":
            expected = _REQUIRED.get(name, "a value")
            return InvalidRequest(f"Missing required field: {name}", faults=faults, field=name, expected=expected)
        case "extra_forbidden":
            return InvalidRequest(
                f"Unknown field: {name}", faults=faults, field=name, provided=provided, expected="no such field"
            )
        case _ if isinstance(given, bytes):
            message = "The body must be JSON, sent with Content-Type: application/json"
            return InvalidRequest(message, faults=faults, field="body", expected="JSON object")
    expected = _expected(error["type"], given, context, error["msg"])
    return InvalidRequest(
        f"Invalid value for {name}: expected {expected}",
        faults=faults,
        field=name,
        provided=provided,
        expected=expected,
    )


def _expected(kind: str, given: Any, context: dict[str, Any], message: str) -> str:
    if "expected" in context:
        return f"one of {context['expected']}" if kind == "literal_error" else str(context["expected"])
    unit = "characters" if isinstance(given, str) else "items"
    for bound, words in _BOUNDS.items():
        if bound in context:
            return words.format(context[bound], unit)
    if kind == "string_pattern_mismatch":
        return f"text that matches {context['pattern']}"
    word, _, fault = kind.partition("_")
    if fault in ("type", "attributes_type", "parsing", "from_float") and word in _TYPES:
        return _TYPES[word]
    return message.removeprefix("Input should be ")


def echo(value: Any) -> Any:
    """The offending value, if it is short enough to be shown back."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value.encode(errors="replace").decode()[:_LONGEST_ECHO]
    text = str(value)
    return text if len(text) <= _LONGEST_ECHO else f"{text[:_LONGEST_ECHO]}…"
