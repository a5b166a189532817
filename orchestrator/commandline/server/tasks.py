"""Tasks that end with an event; every long-lived process is built from them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def unless_stopped(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of the work; or None if `stop` was set first, and the work was cancelled."""
    task = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return await task if task.done() else None
    finally:
        await cancelled(task)
        await cancelled(stopping)


@contextlib.asynccontextmanager
async def beside(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> AsyncIterator["asyncio.Future[None]"]:
    """Run work during the block. If either ends, set `stop`, and wait until the work has ended."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda _: stop.set())
    try:
        yield task
    finally:
        stop.set()
        await task


async def cancelled(task: "asyncio.Future[Any]") -> None:
    """Cancel a task unless it has ended, and wait for its end."""
    if not task.done():
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
