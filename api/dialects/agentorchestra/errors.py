"""Error bodies of this surface: `error`, `message`, `details` (O-048, C-11, C-15)."""

from http import HTTPStatus
from typing import Any, Final

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from api.dialects.agentorchestra.models import ErrorAnswer
from api.errors import headers_of, status_of
from api.routes import error_route
from orchestrator.domain.errors import OrchestratorError

_CODES: Final = {
    HTTPStatus.BAD_REQUEST: "BadRequest",
    HTTPStatus.REQUEST_TIMEOUT: "RequestTimeout",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "PayloadTooLarge",
    HTTPStatus.REQUEST_URI_TOO_LONG: "UriTooLong",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "HeadersTooLarge",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "UnsupportedMediaType",
    HTTPStatus.UNPROCESSABLE_ENTITY: "IdempotencyReuse",
    HTTPStatus.METHOD_NOT_ALLOWED: "MethodNotAllowed",
    HTTPStatus.UNAUTHORIZED: "Unauthorized",
    HTTPStatus.FORBIDDEN: "Forbidden",
    HTTPStatus.NOT_FOUND: "NotFound",
    HTTPStatus.CONFLICT: "Conflict",
    HTTPStatus.TOO_MANY_REQUESTS: "TooManyRequests",
    HTTPStatus.SERVICE_UNAVAILABLE: "ServiceUnavailable",
    HTTPStatus.INTERNAL_SERVER_ERROR: "InternalError",
}

ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    **{status: {"model": ErrorAnswer} for status in (400, 401, 403, 404, 413, 429, 500, 503)},
    "default": {"model": ErrorAnswer, "description": "Any other error"},
}


def body_of(error: OrchestratorError) -> ErrorAnswer:
    """Return the body of an error; no field is null (O-049)."""
    details = {name: value for name, value in error.details.items() if value is not None}
    return ErrorAnswer(error=_CODES[status_of(error)], message=error.message, details=details or None)


def render(request: Request, error: OrchestratorError) -> Response:
    """Return the error as a response."""
    body = body_of(error).model_dump_json(by_alias=True, exclude_none=True)
    return Response(body, status_of(error), headers_of(error), media_type="application/json")


AgentOrchestraRoute: Final[type[APIRoute]] = error_route(render)
