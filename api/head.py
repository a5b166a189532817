"""`HEAD` wherever `GET` is answered: the same status and headers, no body."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class _Answered(Exception):
    """Everything that HEAD asks for is sent; the stream that would follow is not begun."""


class HeadAsGet:
    """Lets the application answer GET, and sends the head of its response only. The metrics and the log say HEAD."""

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
            scope["method"] = "HEAD"  # the server looks at it: a body shorter than its Content-Length is right
            await send(message)
            await send({"type": "http.response.body", "body": b""})
            if Headers(raw=message.get("headers", [])).get("content-type", "").startswith("text/event-stream"):
                raise _Answered

        scope["method"] = "GET"
        try:
            await self._app(scope, receive, head_only)
        except _Answered:
            pass
        finally:
            scope["method"] = "HEAD"
