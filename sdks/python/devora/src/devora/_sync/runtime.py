"""What threads give: sleeping, locks and connections. Nothing can interrupt a read: limits are those of the socket."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

Pool = TypeVar("Pool")
sleep = time.sleep
Lock = threading.Lock


@contextmanager
def limit(seconds: float | None) -> Iterator[None]:
    """Do nothing: each read of the transport has a time-out of its own."""
    yield


class Pools(Generic[Pool]):
    """A pool of connections for each process: after a fork both would write to the same connections."""

    def __init__(self) -> None:
        self._pools: dict[int, Pool] = {}

    def current(self) -> Pool | None:
        """The pool of this process."""
        return self._pools.get(os.getpid())

    def add(self, pool: Pool) -> Pool:
        """Keep a pool for this process."""
        return self._pools.setdefault(os.getpid(), pool)
