"""Ends a wait for a job when the client leaves or the server stops: nobody would read its answer, or wait for it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from api.deps import api_state

T = TypeVar("T")


async def attended(request: Request, wait: Coroutine[Any, Any, T]) -> T | None:
    """Return the result of a wait, or None if the client left or the server stops before. Raises what `wait` raises."""
    waiting = asyncio.create_task(wait, name="wait for a job")
    absence = [
        asyncio.create_task(_until_gone(request), name="wait for a disconnect"),
        asyncio.create_task(api_state(request.app).closing.wait(), name="wait for the stop of the server"),
    ]
    try:
        await asyncio.wait({waiting, *absence}, return_when=asyncio.FIRST_COMPLETED)
        return waiting.result() if waiting.done() else None
    finally:
        for task in (waiting, *absence):
            task.cancel()


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
