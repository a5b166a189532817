"""uvicorn's connections with what they lack: bounds of a request's head, and an answer to every handshake."""

import asyncio
import resource
from typing import Any, Final

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

log = structlog.get_logger(__name__)

HEAD_SECONDS: Final = 30.0
# The application refuses a large head politely (431 over 32 KiB); this is where reading on would only cost memory.
MAX_HEAD_BYTES: Final = 128 * 1024
_OTHER_FILES: Final = 100  # descriptors of the job index, Temporal, Redis and files
_MOST_OPEN: Final = 20_000
_LEAST_OPEN: Final = 20


def most_open_connections() -> int:
    """How many connections may be open in this process, whatever comes over them: each takes a file descriptor."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_OPEN if soft == resource.RLIM_INFINITY else max(_LEAST_OPEN, min(soft - _OTHER_FILES, _MOST_OPEN))


class BoundedHttp(HttpToolsProtocol):
    """Closes a connection whose next request head does not come whole in time, or does not come to an end.

    Where too many are open, an idle one makes room for the next.
    """

    head_seconds = HEAD_SECONDS
    max_head_bytes = MAX_HEAD_BYTES
    most_open = staticmethod(most_open_connections)

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._head_bytes = 0
        self._reading_head = True
        self._messages = 0
        self._late: asyncio.TimerHandle | None = None
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected and owes a request."""
        super().connection_made(transport)
        self._expect_head()
        self.idle_since = self.loop.time()
        self._make_room(self.most_open())

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes have come. Those that belong to an unfinished head alone are counted."""
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
        """A head is whole."""
        self._head_came()
        self._reading_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A request is whole: what comes now is the next head."""
        self._reading_head = True
        self._head_bytes = 0
        self._messages += 1
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """A request is answered. One that is still being sent has as long as a head to end."""
        super().on_response_complete()
        self.idle_since = self.loop.time()
        if not self._reading_head and not self.transport.is_closing():
            self._expect_head()

    def _make_room(self, most: int) -> None:
        """Where too many are open, or half of that from one address, close the one that is idle for the longest time.

        That is this connection if all others are being answered.
        """
        if len(self.connections) <= most // 2:
            return
        others = [each for each in self.connections if isinstance(each, BoundedHttp)]
        if len(self.connections) <= most:
            others = [each for each in others if each.address == self.address]
            if len(others) <= most // 2:
                return
        idle = [each for each in others if each is not self and not each.answering()]
        min(idle, key=lambda each: each.idle_since, default=self).transport.close()

    @property
    def address(self) -> str | None:
        """Whose connection it is; None for a socket of this machine's file system."""
        return self.client[0] if self.client else None

    def _expect_head(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(self.head_seconds, self._too_late)

    def _head_came(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _too_late(self) -> None:
        self._late = None
        if self.answering() or self.transport.is_closing():
            return
        if self._head_bytes:
            self._refuse(408, "Request head not received in time")
        else:  # a connection opened in advance, or the rest of a body that nobody waits for
            self.transport.close()

    def answering(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, status: int, reason: str) -> None:
        log.warning("connection_refused", status=status, reason=reason, client=self.client)
        if not self.answering():
            self.transport.write(_plain(status, reason))
        self.transport.close()


class AnsweredWebSocket(WebSocketsSansIOProtocol):
    """Answers a handshake that cannot be read, and closes its connection, where uvicorn stays silent for ever."""

    def data_received(self, data: bytes) -> None:
        """Bytes have come; those of the handshake first."""
        super().data_received(data)
        if self.conn.handshake_exc is None or self.handshake_initiated or self.transport.is_closing():
            return
        refusal = b"".join(self.conn.data_to_send())
        self.transport.write(refusal or _plain(400, "This is no WebSocket handshake"))
        self.transport.close()


def _plain(status: int, reason: str) -> bytes:
    text = reason.encode()
    head = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    return STATUS_LINE[status] + head % len(text) + text
