"""The path prefix under which a proxy serves the API: taken off requests, put before every path that is told."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from api.hardening import ApiOptions

_PREFIX: Final[ContextVar[str]] = ContextVar("path_prefix", default="")


def located(path: str) -> str:
    """A path of the API as the client of the present request has to call it."""
    return _PREFIX.get() + path


class PathPrefix:
    """Takes the prefix off the path of a request, so that nothing behind it knows of one.

    The prefix is the `root_path` of the ASGI server, else that of the settings. A proxy may pass it on or take it off.
    """

    def __init__(self, app: ASGIApp, options: Callable[[], ApiOptions]) -> None:
        self._app = app
        self._default = options().root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        prefix = "" if scope["type"] == "lifespan" else scope.get("root_path", "").rstrip("/") or self._default
        if not prefix:
            await self._app(scope, receive, send)
            return
        inner = {**scope, "root_path": "", "path": scope["path"].removeprefix(prefix) or "/"}
        if not scope["path"].startswith(f"{prefix}/") and scope["path"] != prefix:
            inner["path"] = scope["path"]
        elif scope.get("raw_path"):
            inner["raw_path"] = scope["raw_path"].removeprefix(prefix.encode()) or b"/"
        token = _PREFIX.set(prefix)
        try:
            await self._app(inner, receive, send)
        finally:
            _PREFIX.reset(token)
