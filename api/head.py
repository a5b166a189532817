"""`HEAD` on every route that answers `GET`: the same status and headers, no body."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class _HeadersSent(Exception):
    """Raised after the headers, so that an event stream does not start."""


class HeadAsGet:
    """Passes HEAD to the application as GET and sends the head of the response only. Metrics and the log show HEAD."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def head_only(message: Message) -> None:
            if message["type"] != "http.response.start":
                return
            scope["method"] = "HEAD"  # so that the server accepts a body shorter than its Content-Length
            await send(message)
            await send({"type": "http.response.body", "body": b""})
            if Headers(raw=message.get("headers", [])).get("content-type", "").startswith("text/event-stream"):
                raise _HeadersSent

        scope["method"] = "GET"
        try:
            await self._app(scope, receive, head_only)
        except _HeadersSent:
            pass
        finally:
            scope["method"] = "HEAD"
