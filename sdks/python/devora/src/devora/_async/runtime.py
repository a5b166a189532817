"""The parts of asyncio that the clients use: sleep, locks and a timeout."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

sleep = asyncio.sleep
Lock = asyncio.Lock


@asynccontextmanager
async def limit(seconds: float | None) -> AsyncIterator[None]:
    """Cancel the body after so many seconds. Raises `TimeoutError`."""
    async with asyncio.timeout(seconds):
        yield
