"""A cache of verified credentials."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

LIFETIME: Final = 2.5
"""Seconds for which a verified credential is valid without another read of the index.

A credential that another process has ended is refused after this time.
"""

_MAX_ENTRIES: Final = 10_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    value: T
    expires_at: float


class CredentialCache(Generic[T]):
    """Holds values by name, each for at most `LIFETIME` seconds."""

    def __init__(self, timer: Callable[[], float] = time.monotonic) -> None:
        self._timer = timer
        self._entries: dict[str, _Entry[T]] = {}
        self._generation = 0

    @property
    def generation(self) -> int:
        """Grows with each `forget`. A value that was read in an earlier generation may be out of date."""
        return self._generation

    def get(self, name: str) -> T | None:
        """The value under a name, or None."""
        entry = self._entries.get(name)
        return entry.value if entry is not None and self._timer() < entry.expires_at else None

    def put(self, name: str, value: T, *, generation: int, seconds: float = LIFETIME) -> None:
        """Store a value that was read in `generation`, unless a new generation has begun since."""
        if generation != self._generation:
            return
        self._entries.pop(name, None)
        self._entries[name] = _Entry(value, self._timer() + min(seconds, LIFETIME))
        if len(self._entries) > _MAX_ENTRIES:
            del self._entries[next(iter(self._entries))]  # the oldest

    def forget(self, changed: Callable[[T], bool]) -> None:
        """Remove the values for which `changed` is true. Their credentials are read from the index again."""
        self._generation += 1
        self._entries = {name: entry for name, entry in self._entries.items() if not changed(entry.value)}
