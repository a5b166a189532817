"""Counts the workers that poll task queues, with a cache, and a watch for callers that wait for a change."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from temporalio.client import Client

from orchestrator.domain.errors import Unavailable
from orchestrator.engine.guarded_service import circuit_of
from orchestrator.engine.inspection import pollers

log = structlog.get_logger(__name__)

_FRESH: Final = 1.0  # Seconds for which a count is cached.
_FRESH_ZERO: Final = 0.1  # The same for zero: a caller that reads zero usually waits for the first worker.
_RETURNING: Final = 10.0  # Seconds in which workers reconnect to a server that was down.
_POLL_SECONDS: Final = 2.0  # Seconds between two counts of a watched queue.


class _Watch:
    """One watched queue. `flips` counts how often its last worker left or its first one came; `flipped` is set then."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self.task = task
        self.users = 0
        self.flips = 0
        self.flipped = asyncio.Event()


class PollerCounts:
    """The workers of this process's Temporal namespace, by task queue."""

    def __init__(self, client: Client, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._counts: dict[tuple[str, bool], tuple[float, int]] = {}
        self._watches: dict[str, _Watch] = {}

    async def count(self, queue: str, *, activities: bool = False) -> int | None:
        """The number of workers that poll a queue for workflow tasks, or for activities. Raises `Unavailable`.

        None if it is not known: a server that has just started does not know a worker before its next poll.
        """
        now = self._clock()
        cached = self._counts.get((queue, activities))
        if cached and now - cached[0] < (_FRESH if cached[1] else _FRESH_ZERO):
            return cached[1] or self._zero_or_unknown()
        count = len(await pollers(self._client, queue, activities=activities))
        self._counts[queue, activities] = (now, count)
        return count or self._zero_or_unknown()

    def _zero_or_unknown(self) -> int | None:
        return None if circuit_of(self._client).returned_within(_RETURNING) else 0

    @contextmanager
    def watched(self, queue: str) -> Iterator[None]:
        """Count a queue's workers repeatedly while this is open, for `flips` and `flipped`."""
        watch = self._watches.get(queue)
        if watch is None:
            watch = _Watch(asyncio.create_task(self._poll(queue), name=f"workers of {queue}"))
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
        """How often the last worker of a watched queue left or its first one came."""
        return self._watches[queue].flips

    async def flipped(self, queue: str) -> None:
        """Wait for the next such change of a watched queue."""
        await self._watches[queue].flipped.wait()

    async def _poll(self, queue: str) -> None:
        had_workers: bool | None = None
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
                has_workers = had_workers if count is None else count > 0
                if had_workers is not None and has_workers is not had_workers:
                    watch = self._watches[queue]
                    watch.flips += 1
                    watch.flipped.set()
                    watch.flipped = asyncio.Event()
                had_workers = has_workers
            await asyncio.sleep(_POLL_SECONDS)
