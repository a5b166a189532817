"""Puts load on something: calls one after another, or a number of them at any time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

Call = Callable[[], Awaitable[object]]


async def one_at_a_time(call: Call, count: int) -> list[float]:
    """Milliseconds that each of `count` calls took."""
    took = []
    for _ in range(count):
        began = time.perf_counter()
        await call()
        took.append((time.perf_counter() - began) * 1000)
    return took


async def per_second(calls: Sequence[Call], count: int) -> float:
    """Calls per second, over `count` of them, while each of `calls` runs again as soon as it is done."""
    left = iter(range(count))

    async def lane(call: Call) -> None:
        for _ in left:
            await call()

    began = time.perf_counter()
    await asyncio.gather(*(lane(call) for call in calls))
    return count / (time.perf_counter() - began)
