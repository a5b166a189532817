"""When a request is sent again, and after which pause. Nothing here waits or sends."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping

MAX_PAUSE = 8.0
RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})


class Deadline:
    """The moment at which a call has to be over. `seconds` of None is never."""

    __slots__ = ("_end", "seconds")

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self, most: float | None = None) -> float | None:
        """Seconds that are left, at most `most`; never below 0. None without an end."""
        if self._end is None:
            return most
        left = max(0.0, self._end - time.monotonic())
        return left if most is None else min(left, most)

    def allows(self, pause: float) -> bool:
        """Whether something can be done after such a pause."""
        left = self.left()
        return left is None or pause < left


class Backoff:
    """Pauses that double from `first` up to `longest` seconds, each with a random part of up to a half."""

    __slots__ = ("_first", "_longest", "_pauses")

    def __init__(self, first: float, longest: float = MAX_PAUSE) -> None:
        self._first = first
        self._longest = longest
        self._pauses = 0

    def reset(self) -> None:
        """Begin with the shortest pause again."""
        self._pauses = 0

    def next(self) -> float:
        """Seconds of the next pause."""
        # Beyond 2**30 the power only grows, and no pause is as long.
        pause = min(self._longest, self._first * 2.0 ** min(self._pauses, 30))
        self._pauses += 1
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret


def is_retried(status: int, headers: Mapping[str, str]) -> bool:
    """Whether an answer is one after which to try again. The server's own word, `x-should-retry`, wins."""
    word = headers.get("x-should-retry", "").lower()
    if word in ("true", "false"):
        return word == "true"
    return status in RETRIED_STATUSES


def seconds_of_retry_after(value: str | None) -> float | None:
    """What a `Retry-After` header says: seconds, or a date. None for anything else."""
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
