"""The position of a stream of events, and which events it has received."""

from __future__ import annotations

from collections import deque
from typing import Any, Generic, TypeVar

from devora._config import is_header
from devora._model import Model
from devora._responses import parsed
from devora._sse import Frame
from devora.errors import (
    UNEXPECTED,
    UNEXPECTED_REDIRECT,
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    DevoraError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    ServerError,
    frame_error,
)
from devora.models import Event, WebhookEvent

NOW = "now"
STALL_TIMEOUT = 45.0
Item = TypeVar("Item", bound=Model)
MAX_PAUSE = 5.0
_REMEMBERED = 5000
_REFUSALS = (InvalidRequestError, AuthenticationError, PermissionDeniedError, NotFoundError)


class Cursor(Generic[Item]):
    """Turns frames into events, each one once. `after` is the cursor to continue from."""

    def __init__(self, after: str | None) -> None:
        self.after = after
        self.ended = False
        self._order: deque[str] = deque(maxlen=_REMEMBERED)
        self._seen: set[str] = set()

    def take(self, frame: Frame) -> Item | None:
        """The event of a frame; None for a frame that is no event, or an event that was seen.

        Raises `DevoraError` for a frame of an error, and for one that is not JSON: it would come again.
        """
        if frame.id:
            if frame.id in self._seen:
                return None
            self._remember(frame.id)
        wire = _parsed(frame.data)
        if frame.event == "stream_error":
            error = wire.get("error")
            error = error if isinstance(error, dict) else {"message": "The stream broke off"}
            request_id = error.get("request_id")
            raise frame_error(error, request_id if isinstance(request_id, str) else None)
        if frame.id:
            wire.setdefault("id", frame.id)
        return self._event(frame, wire)

    def _event(self, frame: Frame, wire: dict[str, Any]) -> Item | None:
        raise NotImplementedError

    def _remember(self, id: str) -> None:
        """The place moves on even for an event that is dropped: it must not come again."""
        if len(self._order) == _REMEMBERED:
            self._seen.discard(self._order[0])
        self._order.append(id)
        self._seen.add(id)
        if is_header(id):  # another one cannot be sent back: the stream resumes after the last that can
            self.after = id


class JobCursor(Cursor[Event]):
    """That of the events of a job, which end."""

    def __init__(self, after: str | None) -> None:
        super().__init__(after)
        self.last: Event | None = None

    def _event(self, frame: Frame, wire: dict[str, Any]) -> Event | None:
        if frame.event == "snapshot":
            return None
        self.last = event = Event.from_wire(wire)
        self.ended = self.ended or event.ends
        return event


class AccountCursor(Cursor[WebhookEvent]):
    """That of the events of an account, which do not end. The first frame is the cursor at which the stream starts."""

    def _event(self, frame: Frame, wire: dict[str, Any]) -> WebhookEvent | None:
        return None if frame.event == "stream_started" else WebhookEvent.from_wire(wire)


def is_permanent(error: DevoraError) -> bool:
    """Return whether a new connection would fail in the same way."""
    if isinstance(error, APIConnectionError):
        return not error.retryable
    if not isinstance(error, APIStatusError) or error.should_retry is False:
        return True  # without an answer of the server: a closed client
    # An answer or a frame that is not one of the API would come again; a gateway's page may be of an outage.
    foreign = error.code in (UNEXPECTED, UNEXPECTED_REDIRECT) and (error.status or 0) < 400
    return foreign or isinstance(error, _REFUSALS)


def _parsed(text: str) -> dict[str, Any]:
    try:
        wire = parsed(text)
    except ValueError:
        wire = None
    if not isinstance(wire, dict):
        raise ServerError(f"A frame of the stream is not a JSON object: {text[:200]!r}", code=UNEXPECTED)
    return wire
