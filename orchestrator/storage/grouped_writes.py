"""Writes that their callers do not wait for: those of a tenth of a second are one transaction."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import Context
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from orchestrator.storage.database import Database

_MAX_IN_GROUP: Final = 100
_MAX_QUEUED: Final = 1000
# Seconds that a write waits for others: the calls of a quick job are one group.
_PAUSE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Write:
    """One write of a job. `alone` writes it by itself, and handles every error."""

    job_id: str
    unit: Callable[[Connection], None]
    alone: Callable[[], Awaitable[None]]


class GroupedWrites:
    """A queue of writes. Those of one job are written in their order, and at once when somebody waits for them."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._queue: list[Write] = []
        self._jobs: Counter[str] = Counter()
        self._writing: asyncio.Task[None] | None = None
        self._waiting = 0
        self._hurry = asyncio.Event()

    async def add(self, write: Write) -> None:
        """Queue a write. Waits for it only if the queue is full, because the index is slow or away."""
        if len(self._queue) >= _MAX_QUEUED:
            await write.alone()
            return
        self._queue.append(write)
        self._jobs[write.job_id] += 1
        if len(self._queue) >= _MAX_IN_GROUP:
            self._hurry.set()
        if self._writing is None or self._writing.done():
            # Its log lines are of many calls, so they do not get the context of this one.
            self._writing = asyncio.create_task(self._write_all(), name="grouped writes", context=Context())

    async def written(self, job_id: str) -> None:
        """Wait until no write of the job is queued."""
        with self._hurried():
            while job_id in self._jobs and self._writing is not None and not self._writing.done():
                await asyncio.wait({self._writing})

    async def settle(self, seconds: float) -> None:
        """Wait until the queue is empty, for at most `seconds`. Call this before the connections are closed."""
        if self._writing is not None:
            with self._hurried():
                await asyncio.wait({self._writing}, timeout=seconds)

    @contextmanager
    def _hurried(self) -> Iterator[None]:
        self._waiting += 1
        self._hurry.set()
        try:
            yield
        finally:
            self._waiting -= 1

    async def _write_all(self) -> None:
        while self._queue:
            await self._pause()
            group, self._queue = self._queue[:_MAX_IN_GROUP], self._queue[_MAX_IN_GROUP:]
            # Two processes lock the rows of jobs in the same order, so that neither waits for the other.
            group.sort(key=lambda write: write.job_id)
            await self._write(group)
            self._jobs -= Counter(write.job_id for write in group)

    async def _pause(self) -> None:
        if self._waiting or len(self._queue) >= _MAX_IN_GROUP:
            return
        self._hurry.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(_PAUSE):
                await self._hurry.wait()

    async def _write(self, group: list[Write]) -> None:
        def write(connection: Connection) -> None:
            for each in group:
                each.unit(connection)

        try:
            await self._db.transaction(write)
        except Exception:  # noqa: BLE001 - one of them may be at fault: each is tried by itself, and reports its error
            await asyncio.gather(*(each.alone() for each in group))
