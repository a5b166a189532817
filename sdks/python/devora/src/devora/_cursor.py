"""The position of a stream of events, and which events it has received."""

from __future__ import annotations

import json
from collections import deque

from devora._sse import Frame
from devora.errors import (
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    DevoraError,
    PermissionDeniedError,
)
from devora.models import Event

PERMANENT_STATUSES = frozenset({400, 401, 403, 404, 410, 422})
NOW = "now"
STALL_TIMEOUT = 45.0
MAX_PAUSE = 5.0
_REMEMBERED = 5000


class Cursor:
    """Turns frames into events, each one once. `after` is the cursor to continue from."""

    def __init__(self, job_id: str, after: str | None) -> None:
        self.job_id = job_id
        self.after = after
        self.ended = False
        self._order: deque[str] = deque(maxlen=_REMEMBERED)
        self._seen: set[str] = set()

    def take(self, frame: Frame) -> Event | None:
        """The event of a frame; None for a frame that is no event, or an event that was seen. Raises `DevoraError`."""
        if frame.id:
            if frame.id in self._seen:
                return None
            self._remember(frame.id)
        if frame.event == "snapshot":
            return None
        try:
            wire = json.loads(frame.data)
        except ValueError:
            return None
        if not isinstance(wire, dict):
            return None
        if frame.event == "stream_error":
            raise _stream_error(wire)
        if frame.id:
            wire.setdefault("id", frame.id)
        event = Event.from_wire(wire)
        self.ended = self.ended or event.ends
        return event

    def _remember(self, id: str) -> None:
        """The place moves on even for an event that is dropped: it must not come again."""
        if len(self._order) == _REMEMBERED:
            self._seen.discard(self._order[0])
        self._order.append(id)
        self._seen.add(id)
        self.after = id


def is_permanent(error: DevoraError) -> bool:
    """Return whether a new connection would fail in the same way."""
    if isinstance(error, APIConnectionError):
        return not error.retryable
    if error.status is not None and error.status < 400:
        return True  # an answer that is none of the API's
    return error.status in PERMANENT_STATUSES or isinstance(error, AuthenticationError | PermissionDeniedError)


def _stream_error(wire: dict[str, object]) -> DevoraError:
    error = wire.get("error")
    error = error if isinstance(error, dict) else {}
    kind = {"authentication_failed": AuthenticationError, "forbidden": PermissionDeniedError}.get(
        str(error.get("code")), APIStatusError
    )
    return kind(
        str(error.get("message", "The stream broke off")),
        code=error.get("code"),
        request_id=error.get("request_id"),
        details=error.get("details") if isinstance(error.get("details"), dict) else None,
        body=wire,
    )
