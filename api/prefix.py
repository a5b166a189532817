"""The path prefix of a proxy: removed from request paths, added to every path in an answer."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from api.hardening import ApiOptions

_PREFIX: Final[ContextVar[str]] = ContextVar("path_prefix", default="")


def located(path: str) -> str:
    """Return a path of the API with the prefix that the client of the current request must use."""
    return _PREFIX.get() + path


class PathPrefix:
    """Removes the prefix from the path of a request, so that no route has to know it.

    The prefix is the `root_path` of the ASGI server, else that of the settings. The proxy may keep or remove it.
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
