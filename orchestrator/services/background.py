"""Tasks in the background."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Background:
    """Holds running tasks until they are done. The event loop holds only weak references to them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run `work` as a task. `work` must log its own errors."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def settle(self) -> None:
        """Wait until all tasks are done. Call it before the connections are closed."""
        await asyncio.gather(*self._tasks)
