"""Carries token deltas inside one process (A7): from the worker of `dev` to its streams."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import Final

from orchestrator.domain.deltas import Delta

CAPACITY: Final = 256


class MemoryBus:
    """The `DeltaBus` port for one process. A reader with more than `capacity` waiting deltas loses the oldest."""

    def __init__(self, *, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._readers: dict[str, set[_Reader]] = {}

    def publish(self, delta: Delta) -> None:
        """Pass a delta to the current readers of its job."""
        for reader in self._readers.get(delta.job_id, ()):
            reader.waiting.append(delta)
            reader.new_delta.set()

    async def has_readers(self, job_id: str) -> bool:
        """Whether the job has a reader in this process."""
        return job_id in self._readers

    async def subscribe(self, job_id: str) -> AsyncGenerator[Delta]:
        """The job's deltas from the first `anext` on; close the generator after use."""
        reader = _Reader(self._capacity)
        self._readers.setdefault(job_id, set()).add(reader)
        try:
            while True:
                await reader.new_delta.wait()
                reader.new_delta.clear()
                while reader.waiting:
                    yield reader.waiting.popleft()
        finally:
            readers = self._readers[job_id]
            readers.discard(reader)
            if not readers:
                del self._readers[job_id]

    async def ping(self) -> None:
        """Always reachable."""

    async def aclose(self) -> None:
        """Nothing to close."""


class _Reader:
    """One reader: the deltas that it has not taken yet. All readers share the same objects."""

    __slots__ = ("new_delta", "waiting")

    def __init__(self, capacity: int) -> None:
        self.waiting: deque[Delta] = deque(maxlen=capacity)
        self.new_delta = asyncio.Event()
