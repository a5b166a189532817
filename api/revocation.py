"""Ends a waiting request when its credential is revoked, loses a scope or expires."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from api.deps import api_state
from orchestrator.domain.errors import Unauthenticated


@asynccontextmanager
async def while_valid(request: Request) -> AsyncIterator[None]:
    """Run the block while the caller's credential is valid. Raises `Unauthenticated` once it is not.

    A block that is shorter than the time between two checks costs one timer.
    """
    loop, seconds = asyncio.get_running_loop(), api_state(request.app).recheck
    checks: asyncio.Task[None] | None = None

    async def check(limit: asyncio.Timeout) -> None:
        access = (await api_state(request.app).source.services()).access
        while True:
            if not await access.still_valid(request.state.authenticated):
                limit.reschedule(loop.time())
                return
            await asyncio.sleep(seconds)

    def begin(limit: asyncio.Timeout) -> None:
        nonlocal checks
        if hasattr(request.state, "authenticated"):  # anonymous callers have no credential
            checks = loop.create_task(check(limit), name="credential check")

    try:
        async with asyncio.timeout(None) as limit:
            timer = loop.call_later(seconds, begin, limit)
            try:
                yield
            finally:
                timer.cancel()
                if checks is not None:
                    checks.cancel()
    except TimeoutError:
        if not limit.expired():
            raise
        raise Unauthenticated("This credential was revoked or has expired") from None
