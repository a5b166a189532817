"""The other surfaces under load: latency with fifty clients, a mix of reads, and a thousand connections."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from itertools import cycle
from typing import Any, Final

from bench.connection import Connection
from bench.figures import Figure, at_least, at_most
from bench.jobs import started
from bench.load import Call, per_second
from bench.plugin import J3
from bench.prepared import until
from bench.scaled import Scaled

CLIENTS: Final = 50
HELD: Final = 1000
HERE: Final = "/api/v1/orchestration"
# Seconds between the calls of a client: dashboards that refresh, people who decide.
PACE: Final = 0.5
DECISION_PACE: Final = 4.0
TARGETS: Final = {"health": 50, "metrics": 100, "partnerships": 200}


async def measure(at: Scaled) -> list[Figure]:
    """Measure the surfaces of both API processes."""
    ports, key, calls = (at.port, at.other_port), at.key, at.reads // 20
    connections = [Connection(port, key) for port, _ in zip(cycle(ports), range(CLIENTS), strict=False)]
    jobs = [await started(connections[0], J3) for _ in range(5)]
    for job_id in jobs:
        await until(connections[0], job_id, lambda job: job["status"] == "completed")
    figures = []
    for name, target in TARGETS.items():
        await _paced(connections, "GET", f"{HERE}/{name}", None, 1)  # warm-up
        times = await _paced(connections, "GET", f"{HERE}/{name}", None, calls)
        figures.append(at_most(f"{name}, {CLIENTS} clients, p95", target, _p95(times), "ms"))
    context = {"context": {"business_goal": "grow", "timeframe": "a year", "budget": 100000}}
    times = await _paced(connections, "POST", f"{HERE}/decisions", context, 3, pace=DECISION_PACE)
    figures.append(at_most(f"decisions, {CLIENTS} clients, p95", 500, _p95(times), "ms"))
    paths = cycle([f"{HERE}/health", f"{HERE}/partnerships", "/workflow-types", "/v1/agents", f"/v1/jobs/{jobs[0]}"])
    lanes: list[Call] = [partial(_next, connection, paths) for connection in connections]
    await per_second(lanes, calls * 10)  # warm-up
    rate = await per_second(lanes, calls * CLIENTS)
    figures.append(at_least(f"a mix of reads, {len(ports)} API processes", 500, rate, "requests/s"))
    for connection in connections:
        await connection.close()
    return [*figures, await _held(ports, key)]


async def _paced(
    connections: Sequence[Connection], method: str, path: str, body: Any, calls: int, *, pace: float = PACE
) -> list[float]:
    """Milliseconds of each call. Every client pauses between calls, and the first calls are spread over one pause."""

    async def client(number: int, connection: Connection) -> list[float]:
        await asyncio.sleep(pace * number / len(connections))
        times = []
        for _ in range(calls):
            began = time.perf_counter()
            await connection.call(method, path, body)
            times.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(pace)
        return times

    times_by_client = await asyncio.gather(
        *(client(number, connection) for number, connection in enumerate(connections))
    )
    return [milliseconds for times in times_by_client for milliseconds in times]


async def _held(ports: Sequence[int], key: str) -> Figure:
    """A thousand open connections, with two responses on each."""
    connections = [Connection(port, key) for port, _ in zip(cycle(ports), range(HELD), strict=False)]
    responses = 0
    for _ in range(2):
        for start in range(0, HELD, 100):
            batch = connections[start : start + 100]
            await asyncio.gather(*(connection.call("GET", "/healthz") for connection in batch))
            responses += len(batch)
    for connection in connections:
        await connection.close()
    return at_least(f"{HELD} connections held, answers on them", 2 * HELD, responses, "answers")


async def _next(connection: Connection, paths: Any) -> None:
    await connection.call("GET", next(paths))


def _p95(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.95)]
