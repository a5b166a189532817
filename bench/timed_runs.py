"""Answers the requests of the benchmark in another process: lines of JSON on standard input and output."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import NamedTuple


class Times(NamedTuple):
    """The seconds of each run that ended, and of all together."""

    seconds: list[float]
    all: float


async def timed(run: Callable[[], Awaitable[object]], count: int, lanes: int, *, within: float | None = None) -> Times:
    """Run it `count` times, `lanes` at once. What still runs after `within` seconds is cancelled."""
    left, seconds = iter(range(count)), []

    async def lane() -> None:
        for _ in left:
            start = time.perf_counter()
            await run()
            seconds.append(time.perf_counter() - start)

    began = time.perf_counter()
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            await asyncio.gather(*(lane() for _ in range(lanes)))
    return Times(seconds, time.perf_counter() - began)


async def serve_runs(runs: Mapping[str, Callable[[], Awaitable[object]]]) -> None:
    """Say that the process is ready, then answer each request until the input ends.

    `{"plan": 5}` runs `runs["plan"]` five times at once, and `{"plan": 96, "lanes": 16}` 96 times with 16 in flight.
    `within` cancels what still runs after so many seconds. The response has the seconds of each run that ended, and of
    all together.
    """
    print("ready", flush=True)  # noqa: T201 - the protocol
    while line := await asyncio.to_thread(sys.stdin.readline):
        request: dict[str, int] = json.loads(line)
        name, count = next(iter(request.items()))
        times = await timed(runs[name], count, request.get("lanes", count), within=request.get("within"))
        print(json.dumps(times._asdict()), flush=True)  # noqa: T201
