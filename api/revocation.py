"""Ends a request whose credential is revoked, narrowed or expires while it is answered: a call may wait for minutes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from api.deps import api_state
from orchestrator.domain.errors import Unauthenticated


@asynccontextmanager
async def while_valid(request: Request) -> AsyncIterator[None]:
    """Run the block as long as the request's caller may go on. Raises `Unauthenticated` once they may not.

    Costs a timer, and nothing else unless the block lasts longer than the time between two looks.
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
        if hasattr(request.state, "authenticated"):  # anonymous callers have nothing that can be revoked
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
