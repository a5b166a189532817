"""Writes that their callers do not wait for: those that wait together are one transaction."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from orchestrator.storage.database import Database

_MAX_IN_GROUP: Final = 100
_MAX_QUEUED: Final = 1000


@dataclass(frozen=True, slots=True)
class Write:
    """One write of a job. `alone` writes it by itself, and handles every error."""

    job_id: str
    unit: Callable[[Connection], None]
    alone: Callable[[], Awaitable[None]]


class GroupedWrites:
    """A queue of writes. Those of one job are written in their order."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._queue: list[Write] = []
        self._jobs: Counter[str] = Counter()
        self._writing: asyncio.Task[None] | None = None

    async def add(self, write: Write) -> None:
        """Queue a write. Waits for it only if the queue is full, because the index is slow or away."""
        if len(self._queue) >= _MAX_QUEUED:
            await write.alone()
            return
        self._queue.append(write)
        self._jobs[write.job_id] += 1
        if self._writing is None or self._writing.done():
            # Its log lines are of many calls, so they do not get the context of this one.
            self._writing = asyncio.create_task(self._write_all(), name="grouped writes", context=Context())

    async def written(self, job_id: str) -> None:
        """Wait until no write of the job is queued."""
        while job_id in self._jobs and self._writing is not None and not self._writing.done():
            await asyncio.wait({self._writing})

    async def settle(self, seconds: float) -> None:
        """Wait until the queue is empty, for at most `seconds`. Call this before the connections are closed."""
        if self._writing is not None:
            await asyncio.wait({self._writing}, timeout=seconds)

    async def _write_all(self) -> None:
        while self._queue:
            group, self._queue = self._queue[:_MAX_IN_GROUP], self._queue[_MAX_IN_GROUP:]
            # Two processes lock the rows of jobs in the same order, so that neither waits for the other.
            group.sort(key=lambda write: write.job_id)
            await self._write(group)
            self._jobs -= Counter(write.job_id for write in group)

    async def _write(self, group: list[Write]) -> None:
        def write(connection: Connection) -> None:
            for each in group:
                each.unit(connection)

        try:
            await self._db.transaction(write)
        except Exception:  # noqa: BLE001 - one of them may be at fault: each is tried by itself, and reports its error
            await asyncio.gather(*(each.alone() for each in group))
