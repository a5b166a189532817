"""uvicorn's connections, with limits for request heads and open connections, and an answer to every handshake."""

import asyncio
import resource
from typing import Any, Final

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

log = structlog.get_logger(__name__)

HEAD_SECONDS: Final = 30.0
# The application refuses large heads itself (431 over 32 KiB). This limit bounds memory: larger heads are not read.
MAX_HEAD_BYTES: Final = 128 * 1024
_OTHER_FILES: Final = 100  # descriptors of the job index, Temporal, Redis and files
_MAX_OPEN: Final = 20_000
_LEAST_OPEN: Final = 20


def most_open_connections() -> int:
    """The maximum of open connections in this process. Each one takes a file descriptor."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MAX_OPEN if soft == resource.RLIM_INFINITY else max(_LEAST_OPEN, min(soft - _OTHER_FILES, _MAX_OPEN))


class BoundedHttp(HttpToolsProtocol):
    """Closes connections whose next request head is too slow or too large.

    If too many connections are open, a new one replaces the connection that is idle for the longest time.
    """

    head_seconds = HEAD_SECONDS
    max_head_bytes = MAX_HEAD_BYTES
    most_open = staticmethod(most_open_connections)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._reading_head = True
        self._messages = 0
        self._time_limit: asyncio.TimerHandle | None = None
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time limit for the first request head."""
        super().connection_made(transport)
        self._expect_head()
        self.idle_since = self.loop.time()
        self._make_room(self.most_open())

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the time limit."""
        self._stop_time_limit()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the bytes, and count those of an incomplete request head."""
        before = self._messages
        super().data_received(data)
        upgraded = self.transport.get_protocol() is not self
        if upgraded or self.transport.is_closing() or not self._reading_head or self._messages != before:
            return
        self._expect_head()
        self._head_bytes += len(data)
        if self._head_bytes > self.max_head_bytes:
            self._refuse(431, "Request head too large")

    def on_headers_complete(self) -> None:
        """Stop the time limit: the head is complete."""
        self._stop_time_limit()
        self._reading_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Expect the next head: the request is complete."""
        self._reading_head = True
        self._head_bytes = 0
        self._messages += 1
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Note since when the connection is idle. A request body that is still being sent gets the time of a head."""
        super().on_response_complete()
        self.idle_since = self.loop.time()
        if not self._reading_head and not self.transport.is_closing():
            self._expect_head()

    def _make_room(self, most: int) -> None:
        """Close the longest idle connection if more than `most` are open, or more than half of that from one address.

        If all others are being answered, close this one.
        """
        if len(self.connections) <= most // 2:
            return
        others = [peer for peer in self.connections if isinstance(peer, BoundedHttp)]
        if len(self.connections) <= most:
            others = [peer for peer in others if peer.address == self.address]
            if len(others) <= most // 2:
                return
        idle = [peer for peer in others if peer is not self and not peer.answering()]
        min(idle, key=lambda peer: peer.idle_since, default=self).transport.close()

    @property
    def address(self) -> str | None:
        """The client's address; None on a Unix socket."""
        return self.client[0] if self.client else None

    def _expect_head(self) -> None:
        if self._time_limit is None:
            self._time_limit = self.loop.call_later(self.head_seconds, self._too_late)

    def _stop_time_limit(self) -> None:
        if self._time_limit is not None:
            self._time_limit.cancel()
            self._time_limit = None

    def _too_late(self) -> None:
        self._time_limit = None
        if self.answering() or self.transport.is_closing():
            return
        if self._head_bytes:
            self._refuse(408, "Request head not received in time")
        else:  # a connection opened in advance, or the rest of a body that the application did not read
            self.transport.close()

    def answering(self) -> bool:
        """Whether the application is answering a request."""
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, status: int, reason: str) -> None:
        log.warning("connection_refused", status=status, reason=reason, client=self.client)
        if not self.answering():
            self.transport.write(_plain(status, reason))
        self.transport.close()


class AnsweredWebSocket(WebSocketsSansIOProtocol):
    """Answers an invalid handshake and closes its connection. uvicorn would leave it open without an answer."""

    def data_received(self, data: bytes) -> None:
        """Parse the bytes, and refuse an invalid handshake."""
        super().data_received(data)
        if self.conn.handshake_exc is None or self.handshake_initiated or self.transport.is_closing():
            return
        refusal = b"".join(self.conn.data_to_send())
        self.transport.write(refusal or _plain(400, "This is not a WebSocket handshake"))
        self.transport.close()


def _plain(status: int, reason: str) -> bytes:
    text = reason.encode()
    head = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    return STATUS_LINE[status] + head % len(text) + text
