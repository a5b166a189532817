"""What was verified of a credential, for a few seconds."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

LIFETIME: Final = 2.5
"""Seconds that a verified credential is known without another look at the index.

A credential that ends in another process is refused after that.
"""

_MOST_KNOWN: Final = 10_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Known(Generic[T]):
    value: T
    until: float


class CredentialCache(Generic[T]):
    """Values by name, each for `LIFETIME` seconds at most."""

    def __init__(self, timer: Callable[[], float] = time.monotonic) -> None:
        self._timer = timer
        self._known: dict[str, _Known[T]] = {}
        self._forgotten = 0

    @property
    def generation(self) -> int:
        """Grows with each `forget`: what was read before may be older than the change that was its cause."""
        return self._forgotten

    def get(self, name: str) -> T | None:
        """What is known under a name, or None."""
        known = self._known.get(name)
        return known.value if known is not None and self._timer() < known.until else None

    def put(self, name: str, value: T, *, generation: int, seconds: float = LIFETIME) -> None:
        """Keep a value that was read in a generation, unless another one has begun since."""
        if generation != self._forgotten:
            return
        self._known.pop(name, None)
        self._known[name] = _Known(value, self._timer() + min(seconds, LIFETIME))
        if len(self._known) > _MOST_KNOWN:
            del self._known[next(iter(self._known))]

    def forget(self, changed: Callable[[T], bool]) -> None:
        """Look at the index again before what has changed is let in."""
        self._forgotten += 1
        self._known = {name: known for name, known in self._known.items() if not changed(known.value)}
