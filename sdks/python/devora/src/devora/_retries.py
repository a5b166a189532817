"""Decides when a request is retried, and after which pause. It does not wait or send."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping

MAX_PAUSE = 8.0
RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})


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
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret


def is_retried(status: int, headers: Mapping[str, str]) -> bool:
    """Return whether a response is retried. The server's header `x-should-retry` overrides its status."""
    advice = headers.get("x-should-retry", "").lower()
    if advice in ("true", "false"):
        return advice == "true"
    return status in RETRIED_STATUSES


def seconds_of_retry_after(value: str | None) -> float | None:
    """Return the seconds of a `Retry-After` header, which has seconds or a date. None for anything else."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        return _seconds_until(value)
    if not 0 <= seconds < float("inf"):
        return None
    return int(seconds) if seconds.is_integer() else seconds


def _seconds_until(date: str) -> float | None:
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())
    except ValueError:
        return None
