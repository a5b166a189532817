"""Errors as pages, those of streams as text. A visitor without a session is sent to the sign-in and returns later."""

from typing import Final
from urllib.parse import urlencode

from fastapi import Request
from starlette.responses import PlainTextResponse, Response

from api.errors import headers_of, status_of
from api.page.rendering import PAGE_HEADERS, page, see_other, url
from api.routes import error_route
from orchestrator.domain.errors import OrchestratorError, Unauthenticated

_TITLES: Final = {
    400: "This cannot be done",
    401: "Sign in",
    403: "Not allowed",
    404: "Nothing here",
    429: "Too many requests",
    503: "A part does not answer",
}


def render(request: Request, error: OrchestratorError) -> Response:
    """Return an error as a page, or as the sentence that an open page shows beside its title."""
    status = int(status_of(error))
    if "text/event-stream" in request.headers.get("accept", ""):
        return PlainTextResponse(error.message, status, {**PAGE_HEADERS, **headers_of(error)})
    if isinstance(error, Unauthenticated) and request.method == "GET" and "hx-request" not in request.headers:
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return see_other(url("/sign-in") + "?" + urlencode({"next": target}))
    response = page(
        request,
        getattr(request.state, "visitor", None) if status != 401 else None,
        "error.html",
        status=status,
        title=_TITLES.get(status, "Something went wrong"),
        message=error.message,
        request_id=str(request.scope["state"].get("request_id", "")),
    )
    response.headers.update({**PAGE_HEADERS, **headers_of(error)})
    return response


PageRoute: Final = error_route(render)
