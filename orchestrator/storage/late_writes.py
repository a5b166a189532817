"""Writes that failed in time: repeated in the background until the index takes them."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from orchestrator.domain.backoff import Backoff
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.text import error_message

log = structlog.get_logger(__name__)

Write = Callable[[], Awaitable[None]]

_MAX_WRITES: Final = 1000
_BACKOFF: Final = Backoff(0.5, 30.0)


class LateWrites:
    """A queue of at most `_MAX_WRITES` writes, oldest first. A write may run twice, so it must be idempotent."""

    def __init__(self) -> None:
        self._queue: deque[Write] = deque()
        self._writing: asyncio.Task[None] | None = None

    def add(self, write: Write) -> None:
        """Queue a write."""
        if len(self._queue) >= _MAX_WRITES:
            log.warning("late_writes_given_up", count=1, reason="the queue is full")
            return
        self._queue.append(write)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_with_pauses(), name="late writes")

    async def settle(self, seconds: float) -> None:
        """Try the queued writes once more. Call this before the connections are closed."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait({self._writing})
        writing = asyncio.create_task(self._write_all())
        # Not wait_for: it waits for the driver, which may take many seconds to cancel a query of a hanging server.
        await asyncio.wait({writing}, timeout=seconds)
        if not writing.done():
            writing.cancel()
        if self._queue:
            log.warning("late_writes_given_up", count=len(self._queue), reason="the process ends")

    async def _write_with_pauses(self) -> None:
        for pause in _BACKOFF.pauses():
            await asyncio.sleep(pause)
            await self._write_all()
            if not self._queue:
                return

    async def _write_all(self) -> None:
        """Write until the queue is empty or the index does not answer."""
        while self._queue:
            try:
                await self._queue[0]()
            except Unavailable:
                return
            except Exception as fault:  # noqa: BLE001 - another try would fail too, and other writes wait
                log.warning("late_writes_given_up", count=1, reason=error_message(fault))
            self._queue.popleft()
