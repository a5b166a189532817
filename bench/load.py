"""Generates load: calls in sequence, or a constant number of calls in flight."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

Call = Callable[[], Awaitable[object]]


async def one_at_a_time(call: Call, count: int) -> list[float]:
    """The milliseconds of each of `count` calls in sequence."""
    took = []
    for _ in range(count):
        began = time.perf_counter()
        await call()
        took.append((time.perf_counter() - began) * 1000)
    return took


async def per_second(calls: Sequence[Call], count: int) -> float:
    """The rate of `count` calls per second, while each of `calls` repeats as soon as it is done."""
    left = iter(range(count))

    async def lane(call: Call) -> None:
        for _ in left:
            await call()

    began = time.perf_counter()
    await asyncio.gather(*(lane(call) for call in calls))
    return count / (time.perf_counter() - began)
