"""Answers the requests of the benchmark in another process: lines of JSON on standard input and output."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple


class Times(NamedTuple):
    """The seconds of each run, and of all together."""

    seconds: list[float]
    all: float


async def timed(run: Callable[[], Awaitable[object]], count: int, lanes: int) -> Times:
    """Run it `count` times, `lanes` at once."""
    left, seconds = iter(range(count)), []

    async def lane() -> None:
        for _ in left:
            start = time.perf_counter()
            await run()
            seconds.append(time.perf_counter() - start)

    began = time.perf_counter()
    await asyncio.gather(*(lane() for _ in range(lanes)))
    return Times(seconds, time.perf_counter() - began)


async def serve_runs(runs: Mapping[str, Callable[[], Awaitable[object]]]) -> None:
    """Say that the process is ready, then answer each request until the input ends.

    `{"plan": 5}` runs `runs["plan"]` five times at once, and `{"plan": 96, "lanes": 16}` 96 times with 16 in flight.
    The response has the seconds of each run, and of all together.
    """
    print("ready", flush=True)  # noqa: T201 - the protocol
    while line := await asyncio.to_thread(sys.stdin.readline):
        request: dict[str, int] = json.loads(line)
        name, count = next(iter(request.items()))
        times = await timed(runs[name], count, request.get("lanes", count))
        print(json.dumps(times._asdict()), flush=True)  # noqa: T201
