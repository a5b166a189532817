"""Decides when a request is retried, and after which pause. It does not wait or send."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping

MAX_PAUSE = 8.0
RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
LONGEST_RETRY_AFTER = 1e9
"""Seconds beyond which a `Retry-After` is nonsense."""
AWAY_STATUSES = RETRIED_STATUSES - {500}
"""Of a server that is away for a while, or of what stands before it."""


class Deadline:
    """The moment at which a call must have ended. `seconds` is None for no limit."""

    __slots__ = ("_end", "seconds")

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    def remaining(self, maximum: float | None = None) -> float | None:
        """Return the remaining seconds, at most `maximum` and never below 0. Without an end return `maximum`."""
        if self._end is None:
            return maximum
        remaining = max(0.0, self._end - time.monotonic())
        return remaining if maximum is None else min(remaining, maximum)

    def allows(self, pause: float) -> bool:
        """Return whether time remains after a pause."""
        remaining = self.remaining()
        return remaining is None or pause < remaining


class Backoff:
    """Pauses that double from `first` up to `longest` seconds, each with a random part of up to a half."""

    __slots__ = ("_first", "_longest", "_pauses")

    def __init__(self, first: float, longest: float = MAX_PAUSE) -> None:
        self._first = first
        self._longest = longest
        self._pauses = 0

    def reset(self) -> None:
        """Restart with the shortest pause."""
        self._pauses = 0

    def next(self) -> float:
        """Return the next pause in seconds."""
        # Beyond 2**30 the power only grows, and no pause is as long.
        pause = min(self._longest, self._first * 2.0 ** min(self._pauses, 30))
        self._pauses += 1
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret  # nosec B311


def is_retried(status: int, headers: Mapping[str, str]) -> bool:
    """Return whether a response is retried. The server's header `x-should-retry` overrides its status."""
    advice = advice_of(headers)
    return status in RETRIED_STATUSES if advice is None else advice


def advice_of(headers: Mapping[str, str]) -> bool | None:
    """Return what the header `x-should-retry` says, if it says anything."""
    return {"true": True, "false": False}.get(headers.get("x-should-retry", "").lower())


def seconds_of_retry_after(value: str | None, date: str | None = None) -> float | None:
    """Return the seconds of a `Retry-After` header, which has seconds or a date. None for anything else.

    A date is measured against the answer's own `date`, as the clocks may differ.
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        moment = _timestamp(value)
        if moment is None:
            return None
        now = _timestamp(date)
        return sound_seconds(max(0.0, moment - (time.time() if now is None else now)))
    if sound_seconds(seconds) is None:
        return None
    return int(seconds) if seconds.is_integer() else seconds


def sound_seconds(value: object) -> float | None:
    """Return a number of seconds for which a program may wait. None for anything else: the server's word is not
    checked."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value <= LONGEST_RETRY_AFTER else None


def _timestamp(date: str | None) -> float | None:
    from email.utils import parsedate_to_datetime

    try:
        return None if date is None else parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None
