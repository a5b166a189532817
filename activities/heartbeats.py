"""Heartbeats of an activity while it works."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from temporalio import activity

# The worker sends at most one in this time, so that more of them would only be work.
HEARTBEAT_SECONDS: Final = 2.0


@asynccontextmanager
async def heartbeats(beat: Callable[[], None], every: float) -> AsyncIterator[None]:
    """Send a heartbeat every `every` seconds, or three in the call's heartbeat timeout; none if `every` is 0."""
    if not every:  # A local activity.
        yield
        return
    limit = activity.info().heartbeat_timeout
    pause = min(every, limit.total_seconds() / 3) if limit else every

    async def send() -> None:
        # The first heartbeat comes after a pause: a short call sends none.
        while True:
            await asyncio.sleep(pause)
            beat()

    sending = asyncio.create_task(send(), name="heartbeat")
    try:
        yield
    finally:
        sending.cancel()
