"""Carries token deltas inside one process (A7): from the worker to the streams of the same `dev`."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import Final

from orchestrator.domain.deltas import Delta

MOST_WAITING: Final = 256


class MemoryBus:
    """The `DeltaBus` port for one process. A reader that lets more than `most` deltas wait loses the oldest."""

    def __init__(self, *, most: int = MOST_WAITING) -> None:
        self._most = most
        self._readers: dict[str, set[_Reader]] = {}

    def publish(self, delta: Delta) -> None:
        """Hand a delta to whoever listens to its job now."""
        for reader in self._readers.get(delta.job_id, ()):
            reader.waiting.append(delta)
            reader.news.set()

    async def subscribe(self, job_id: str) -> AsyncGenerator[Delta]:
        """The job's deltas from the first step of this generator on; close it when done."""
        reader = _Reader(self._most)
        self._readers.setdefault(job_id, set()).add(reader)
        try:
            while True:
                await reader.news.wait()
                reader.news.clear()
                while reader.waiting:
                    yield reader.waiting.popleft()
        finally:
            readers = self._readers[job_id]
            readers.discard(reader)
            if not readers:
                del self._readers[job_id]

    def listeners(self, job_id: str) -> int:
        """How many listen to a job."""
        return len(self._readers.get(job_id, ()))

    async def ping(self) -> None:
        """Nothing that could be away."""

    async def aclose(self) -> None:
        """Nothing to let go of."""


class _Reader:
    """One listener: the deltas, shared with all others, that it has not taken yet."""

    __slots__ = ("news", "waiting")

    def __init__(self, most: int) -> None:
        self.waiting: deque[Delta] = deque(maxlen=most)
        self.news = asyncio.Event()
