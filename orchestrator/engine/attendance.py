"""Who polls the task queues: asked once for all that want to know, and watched for those that wait for a change."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from temporalio.client import Client

from orchestrator.domain.errors import Unavailable
from orchestrator.engine.guard import circuit_of
from orchestrator.engine.inspection import pollers

log = structlog.get_logger(__name__)

_FRESH: Final = 1.0  # seconds for which a count is remembered
_RETURNING: Final = 10.0  # seconds in which the workers of a server that was away find it again
_LOOK_EVERY: Final = 2.0  # seconds between two looks at a queue for whose workers somebody waits


class _Watch:
    """One watched queue: how often it lost its last worker or got its first one, and what wakes those who wait."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self.task = task
        self.users = 0
        self.flips = 0
        self.flipped = asyncio.Event()


class Attendance:
    """The workers of this process's Temporal namespace, by task queue."""

    def __init__(self, client: Client, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._counts: dict[tuple[str, bool], tuple[float, int]] = {}
        self._watches: dict[str, _Watch] = {}

    async def count(self, queue: str, *, activities: bool = False) -> int | None:
        """How many workers poll a queue for workflow tasks, or for activities. Raises `Unavailable`.

        None where that is not known: a server that has just come back knows no worker before its next poll.
        """
        now = self._clock()
        known = self._counts.get((queue, activities))
        if known and now - known[0] < _FRESH:
            return known[1] or self._none()
        count = len(await pollers(self._client, queue, activities=activities))
        self._counts[queue, activities] = (now, count)
        return count or self._none()

    def _none(self) -> int | None:
        return None if circuit_of(self._client).returned_within(_RETURNING) else 0

    @contextmanager
    def watched(self, queue: str) -> Iterator[None]:
        """Look at a queue's workers again and again, so that `flips` and `flipped` can be asked."""
        watch = self._watches.get(queue)
        if watch is None:
            watch = _Watch(asyncio.create_task(self._look(queue), name=f"workers of {queue}"))
            self._watches[queue] = watch
        watch.users += 1
        try:
            yield
        finally:
            watch.users -= 1
            if not watch.users:
                watch.task.cancel()
                del self._watches[queue]

    def flips(self, queue: str) -> int:
        """How often a watched queue's last worker left or its first one came."""
        return self._watches[queue].flips

    async def flipped(self, queue: str) -> None:
        """Wait for the next such change of a watched queue."""
        await self._watches[queue].flipped.wait()

    async def _look(self, queue: str) -> None:
        before: bool | None = None
        away = False
        while True:
            try:
                count = await self.count(queue)
            except Unavailable as fault:
                log.log(
                    logging.DEBUG if away else logging.WARNING, "task_queue_not_read", queue=queue, error=fault.message
                )
                away = True
            else:
                away = False
                attended = before if count is None else count > 0
                if before is not None and attended is not before:
                    watch = self._watches[queue]
                    watch.flips += 1
                    watch.flipped.set()
                    watch.flipped = asyncio.Event()
                before = attended
            await asyncio.sleep(_LOOK_EVERY)
