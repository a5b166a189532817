"""Tasks that end with an event: the shape of every long-lived process here."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def unless_stopped(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """The work's answer, or None when `stop` was set first; the work is cancelled then."""
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else None
    finally:
        await cancelled(working)
        await cancelled(stopping)


@contextlib.asynccontextmanager
async def beside(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> AsyncIterator["asyncio.Future[None]"]:
    """Do some work beside the block; when either ends, `stop` is set, and the work is waited for."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda _: stop.set())
    try:
        yield task
    finally:
        stop.set()
        await task


async def cancelled(task: "asyncio.Future[Any]") -> None:
    """Cancel a task unless it has ended, and wait until it has."""
    if not task.done():
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
