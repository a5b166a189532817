"""Notices that jobs have changed: one look at the index every few seconds for all lists that are open in a process."""

import asyncio
from typing import Final

from orchestrator.storage.overviews import IndexMark, OverviewRepository

_PAUSE_SECONDS: Final = 2.0


class JobChanges:
    """Reads the mark of the index while somebody waits for it, and only once for all who wait."""

    def __init__(self, overviews: OverviewRepository, *, pause_seconds: float = _PAUSE_SECONDS) -> None:
        self._overviews = overviews
        self._pause_seconds = pause_seconds
        self._upcoming: asyncio.Task[IndexMark] | None = None

    async def after(self, mark: IndexMark | None, patience: float) -> IndexMark | None:
        """The mark of the index once it differs from this one, or after `patience` seconds the same again.

        Starts, ends, pauses and jobs that begin to wait for a person change the mark. Progress, attempts and other
        reasons do not. Raises `Unavailable`.
        """
        deadline = asyncio.get_running_loop().time() + patience
        while (left := deadline - asyncio.get_running_loop().time()) > 0:
            look = self._next()
            done, _ = await asyncio.wait({look}, timeout=left)
            if done and (current := look.result()) != mark:
                return current
        return mark

    def _next(self) -> asyncio.Task[IndexMark]:
        if self._upcoming is None or self._upcoming.done():
            self._upcoming = asyncio.create_task(self._look(), name="look for changed jobs")
            # Those who waited may be gone when a look fails.
            self._upcoming.add_done_callback(lambda look: look.cancelled() or look.exception())
        return self._upcoming

    async def _look(self) -> IndexMark:
        await asyncio.sleep(self._pause_seconds)
        return await self._overviews.mark()
