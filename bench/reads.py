"""Reads and memory: one API process and one worker, with open jobs."""

import asyncio
import os
import time
from functools import partial
from itertools import cycle
from statistics import median
from typing import Any, Final

import httpx2

from bench.connection import Connection
from bench.figures import Figure, at_least, at_most
from bench.jobs import started
from bench.load import Call, one_at_a_time, per_second
from bench.plugin import J3, WAIT
from bench.prepared import TIMEOUT_SECONDS, completed, waiting_and_ended
from bench.processes import BenchFailed, memory, processor_seconds
from bench.scaled import Scaled

OPEN_JOBS: Final = 20
CACHED: Final = 200
LANES: Final = 8


async def measure(at: Scaled) -> list[Figure]:
    """Measure reads with open jobs, then the memory of both processes while the worker caches many jobs."""
    reads, connections = at.reads, [Connection(at.port, at.key) for _ in range(LANES)]
    one = connections[0]
    waiting, ended = await waiting_and_ended(one, OPEN_JOBS)
    figures = []
    for kind, jobs, limit in (("open", waiting, 10), ("closed", ended, 4)):
        lanes: list[Call] = [partial(_read, connection, cycle(jobs)) for connection in connections]
        await per_second(lanes, reads // 4)  # warm-up
        times = await one_at_a_time(partial(_read, one, cycle(jobs)), reads)
        figures.append(at_most(f"GET /v1/jobs/{{id}}, {kind}, p50", limit, median(times), "ms", _p95(times)))
        figures.append(await _rate(f"  {kind} jobs, {LANES} connections", lanes, reads * 2))
    times = [await _start_alone(one) for _ in range(max(20, reads // 4))]
    figures.append(at_most(f"asynchronous start, {OPEN_JOBS} jobs open, p95", 60, _p95_of(times), "ms"))
    for _ in range(CACHED - OPEN_JOBS):
        await started(one, WAIT)
    await _until_cached(at.metrics_port)
    for connection in connections:
        await connection.close()
    return [
        *figures,
        at_most(f"worker, resident, {CACHED} cached jobs", 220, await memory(at.worker.pid), "MB"),
        at_most("API process, resident", 180, await memory(at.api.pid), "MB"),
    ]


async def _rate(name: str, lanes: list[Call], count: int) -> Figure:
    before, began = await processor_seconds(os.getpid()), time.perf_counter()
    rate = await per_second(lanes, count)
    after, seconds = await processor_seconds(os.getpid()), time.perf_counter() - began
    note = "" if before is None or after is None else f"the client used {(after - before) / seconds:.0%} of a core"
    return at_least(name, 300, rate, "requests/s", note)


async def _start_alone(connection: Connection) -> float:
    """The milliseconds of a start. The job ends before this returns, so that it does not slow the next one."""
    began = time.perf_counter()
    job_id = await started(connection, J3)
    took = (time.perf_counter() - began) * 1000
    await completed(connection, job_id)
    return took


async def _read(connection: Connection, jobs: Any) -> None:
    await connection.call("GET", f"/v1/jobs/{next(jobs)}")


async def _until_cached(metrics_port: int) -> None:
    """Wait until the worker's metrics show that it caches all open jobs."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    held = 0.0
    async with httpx2.AsyncClient(trust_env=False) as http:
        while held < CACHED:
            if time.monotonic() > deadline:
                raise BenchFailed(f"the worker holds {held:g} jobs, not {CACHED}")
            await asyncio.sleep(0.2)
            text = (await http.get(f"http://127.0.0.1:{metrics_port}/metrics")).text
            lines = [line for line in text.splitlines() if line.startswith("temporal_sticky_cache_size{")]
            held = max((float(line.rpartition(" ")[2]) for line in lines), default=0.0)


def _p95_of(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.95)]


def _p95(times: list[float]) -> str:
    return f"p95 {_p95_of(times):.1f} ms"
