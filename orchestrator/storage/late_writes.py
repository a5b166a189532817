"""Writes that the index did not take in time: tried again until it does, while nobody waits for them."""

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

_MOST: Final = 1000
_BACKOFF: Final = Backoff(0.5, 30.0)


class LateWrites:
    """At most so many, one after another, oldest first. A write may be made twice: it must not mind."""

    def __init__(self) -> None:
        self._waiting: deque[Write] = deque()
        self._writing: asyncio.Task[None] | None = None

    def add(self, write: Write) -> None:
        """Make a write later."""
        if len(self._waiting) >= _MOST:
            log.warning("late_writes_given_up", count=1, reason="too many are late")
            return
        self._waiting.append(write)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_with_pauses(), name="late writes")

    async def settle(self, seconds: float) -> None:
        """Try what is left once more. Before the connections are closed."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait({self._writing})
        writing = asyncio.create_task(self._write_all())
        # Not wait_for: a driver may take many seconds to give up a query of a server that hangs.
        await asyncio.wait({writing}, timeout=seconds)
        if not writing.done():
            writing.cancel()
        if self._waiting:
            log.warning("late_writes_given_up", count=len(self._waiting), reason="the process ends")

    async def _write_with_pauses(self) -> None:
        for pause in _BACKOFF.pauses():
            await asyncio.sleep(pause)
            await self._write_all()
            if not self._waiting:
                return

    async def _write_all(self) -> None:
        """Write until the index does not answer."""
        while self._waiting:
            try:
                await self._waiting[0]()
            except Unavailable:
                return
            except Exception as fault:  # noqa: BLE001 - whatever it is, another try will not help, and others wait
                log.warning("late_writes_given_up", count=1, reason=error_message(fault))
            self._waiting.popleft()
