"""Heartbeats of an activity while it works."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

HEARTBEAT_SECONDS: Final = 1.0


@asynccontextmanager
async def heartbeats(beat: Callable[[], None], every: float) -> AsyncIterator[None]:
    """Send a heartbeat every `every` seconds; none if it is 0 (local activities)."""
    if not every:
        yield
        return

    async def send() -> None:
        # The first heartbeat comes after a pause: a short call sends none.
        while True:
            await asyncio.sleep(every)
            beat()

    sending = asyncio.create_task(send(), name="heartbeat")
    try:
        yield
    finally:
        sending.cancel()
