"""The parts of asyncio that the clients use: sleep, locks, a timeout, and which connections may be used where."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

Pool = TypeVar("Pool")
sleep = asyncio.sleep
Lock = asyncio.Lock


@asynccontextmanager
async def limit(seconds: float | None) -> AsyncIterator[None]:
    """Cancel the body after so many seconds. Raises `TimeoutError`."""
    async with asyncio.timeout(seconds):
        yield


class Pools(Generic[Pool]):
    """A pool of connections for each event loop, since a connection belongs to the loop that opened it."""

    def __init__(self) -> None:
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, Pool] = WeakKeyDictionary()

    def current(self) -> Pool | None:
        """The pool of the running loop."""
        return self._pools.get(asyncio.get_running_loop())

    def add(self, pool: Pool) -> Pool:
        """Keep a pool for the running loop."""
        return self._pools.setdefault(asyncio.get_running_loop(), pool)
