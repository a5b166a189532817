"""Values that this process used last, in memory: what it no longer holds is read from the store."""

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Values by key, whose sizes add up to `most` at most; the one that was not used for longest gives way."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def add(self, key: K, value: V, size: int) -> None:
        """Keep a value. One that is larger than all may be together is not kept."""
        self.drop(key)
        if size > self._most:
            return
        self._values[key] = value, size
        self._size += size
        while self._size > self._most:
            self.drop(next(iter(self._values)))

    def get(self, key: K) -> V | None:
        """The value, or None if it is not held."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key][0]

    def drop(self, key: K) -> None:
        """Forget a value."""
        _, size = self._values.pop(key, (None, 0))
        self._size -= size
