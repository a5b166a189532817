"""Errors as this surface words them: `error`, `message`, `details` (O-048, C-11, C-15)."""

import math
from http import HTTPStatus
from typing import Any, Final

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from api.dialects.agentorchestra.models import ErrorAnswer
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

_WORDS: Final[dict[type, tuple[HTTPStatus, str]]] = {
    InvalidInput: (HTTPStatus.BAD_REQUEST, "BadRequest"),
    WrongState: (HTTPStatus.BAD_REQUEST, "BadRequest"),
    BodyTooLate: (HTTPStatus.REQUEST_TIMEOUT, "RequestTimeout"),
    PayloadTooLarge: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "PayloadTooLarge"),
    UrlTooLong: (HTTPStatus.REQUEST_URI_TOO_LONG, "UriTooLong"),
    HeadersTooLarge: (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "HeadersTooLarge"),
    IdempotencyReuse: (HTTPStatus.UNPROCESSABLE_ENTITY, "IdempotencyReuse"),
    MethodNotAllowed: (HTTPStatus.METHOD_NOT_ALLOWED, "MethodNotAllowed"),
    Unauthenticated: (HTTPStatus.UNAUTHORIZED, "Unauthorized"),
    Forbidden: (HTTPStatus.FORBIDDEN, "Forbidden"),
    NotFound: (HTTPStatus.NOT_FOUND, "NotFound"),
    LimitExceeded: (HTTPStatus.TOO_MANY_REQUESTS, "TooManyRequests"),
    Unavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "ServiceUnavailable"),
    OrchestratorError: (HTTPStatus.INTERNAL_SERVER_ERROR, "InternalError"),
}

ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    **{status: {"model": ErrorAnswer} for status in (400, 401, 403, 404, 413, 429, 500, 503)},
    "default": {"model": ErrorAnswer, "description": "Any other error"},
}


def body_of(error: OrchestratorError) -> ErrorAnswer:
    """What is said of an error; nothing of it is null (O-049)."""
    word = next(_WORDS[kind][1] for kind in type(error).__mro__ if kind in _WORDS)
    details = {name: value for name, value in error.details.items() if value is not None}
    return ErrorAnswer(error=word, message=error.message, details=details or None)


def render(request: Request, error: OrchestratorError) -> Response:
    """The error as a response."""
    status = next(_WORDS[kind][0] for kind in type(error).__mro__ if kind in _WORDS)
    headers: dict[str, str] = {}
    if isinstance(error, Unavailable | LimitExceeded):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = error.details["allow"]
    body = body_of(error).model_dump_json(by_alias=True, exclude_none=True)
    return Response(body, status, headers, media_type="application/json")


AgentOrchestraRoute: Final[type[APIRoute]] = error_route(render)
