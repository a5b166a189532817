"""Job latency and throughput: the product through HTTP against the bare SDK, in turns on one Temporal server."""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any, Final

from pydantic_core import from_json
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from bench.connection import Connection
from bench.figures import Figure, at_least, at_most
from bench.load import Call, one_at_a_time, per_second
from bench.plugin import J3
from bench.processes import BenchFailed, Command, child_named, processor_seconds
from bench.raw import QUEUE, RawWorkflow, Text, first, second, third

IN_FLIGHT: Final = 16
_INPUT: Final = {"text": "x" * 200}


@dataclass(frozen=True, slots=True)
class Amount:
    """The number of repeats and jobs of a measurement."""

    repeats: int
    in_sequence: int
    in_parallel: int


@dataclass(slots=True)
class _Measured:
    """Results of one way to run the job: all times in ms; for each repeat the median time and the jobs per second."""

    times: list[float] = field(default_factory=list)
    medians: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)


@asynccontextmanager
async def raw_worker(address: str) -> AsyncIterator[Call]:
    """Start a worker and a client of the bare SDK in this process, and yield the call that runs one job."""
    client = await Client.connect(address, data_converter=pydantic_data_converter)

    async def run() -> None:
        handle = await client.start_workflow(
            RawWorkflow.run,
            Text(**_INPUT),
            id=f"raw-{uuid.uuid4().hex}",
            task_queue=QUEUE,
            request_eager_start=True,
        )
        await handle.result()

    async with Worker(client, task_queue=QUEUE, workflows=[RawWorkflow], activities=[first, second, third]):
        yield run


async def synchronous(connection: Connection) -> None:
    """Start the job and wait for its result in the same request."""
    _completed(await connection.call("POST", f"/v1/workflows/{J3}/run", {"input": _INPUT}))


async def started(connection: Connection, workflow: str) -> str:
    """Start a job and return its id."""
    accepted = await connection.call("POST", f"/v1/workflows/{workflow}/run", {"input": _INPUT, "async": True})
    return str(accepted["job_id"])


async def waited_for(connection: Connection) -> None:
    """Start the job, then read it with `?wait` until it has ended."""
    job_id = await started(connection, J3)
    while True:
        job = await connection.call("GET", f"/v1/jobs/{job_id}?wait=30")
        if job["completed_at"] is not None:
            return _completed(job)


async def streamed(connection: Connection, stream: Connection) -> None:
    """Start the job, then follow its events to the last, which contains the result."""
    job_id = await started(connection, J3)
    last = b"{}"
    async for _, data in stream.events(f"/v1/jobs/{job_id}/events"):
        last = data
    event = from_json(last)
    _completed({"status": event["status"], "output": event["data"]["output"]})


def _completed(job: dict[str, Any]) -> None:
    if job["status"] != "completed" or not job["output"]["output"]:
        raise BenchFailed(f"a job did not complete: {job}")


async def measure(dev: Command, address: str, port: int, key: str, amount: Amount) -> list[Figure]:
    """Latency and throughput of three function agents in sequence, as ratios to the bare SDK in the same run."""
    connections = [Connection(port, key) for _ in range(IN_FLIGHT)]
    stream = Connection(port, key)
    calls: list[Call] = [partial(synchronous, connection) for connection in connections]
    raw, product = _Measured(), _Measured()
    others = {"?wait": partial(waited_for, connections[0]), "events": partial(streamed, connections[0], stream)}
    other_times: dict[str, list[float]] = {name: [] for name in others}
    cost = _Cost({"the product": dev.pid, "Temporal": await child_named(dev.pid, "start-dev")})
    async with raw_worker(address) as run:
        for lanes in ([run] * IN_FLIGHT, calls):
            await per_second(lanes, 2 * IN_FLIGHT)  # warm-up
        for repeat in range(amount.repeats):
            turns = [("raw", raw, run, [run] * IN_FLIGHT), ("product", product, calls[0], calls)]
            for name, measured, call, lanes in turns if repeat % 2 else reversed(turns):
                times = await one_at_a_time(call, amount.in_sequence)
                measured.times += times
                measured.medians.append(median(times))
                await cost.begin()
                measured.rates.append(await per_second(lanes, amount.in_parallel))
                await cost.end(name, amount.in_parallel)
            for other, call in others.items():
                other_times[other] += await one_at_a_time(call, amount.in_sequence)
    for connection in [*connections, stream]:
        await connection.close()
    return [*_ratios(raw, product), *_other_ways(other_times, raw), *cost.figures()]


def _ratios(raw: _Measured, product: _Measured) -> list[Figure]:
    slower = [ours / floor for ours, floor in zip(product.medians, raw.medians, strict=True)]
    share = [ours / floor for ours, floor in zip(product.rates, raw.rates, strict=True)]
    return [
        at_most("J3, start → result, p50 ÷ bare SDK", 1.5, median(slower), "×", _spread(slower)),
        Figure("  bare SDK, one at a time, p50", median(raw.times), "ms"),
        Figure("  product over HTTP, one at a time, p50", median(product.times), "ms"),
        at_least(f"J3, {IN_FLIGHT} in flight, jobs/s ÷ bare SDK", 0.7, median(share), "×", _spread(share)),
        Figure("  bare SDK", median(raw.rates), "jobs/s"),
        Figure("  product over HTTP", median(product.rates), "jobs/s"),
    ]


def _other_ways(other_times: dict[str, list[float]], raw: _Measured) -> list[Figure]:
    return [
        Figure(f"  product, asynchronous start, then {name}, p50 ÷ bare SDK", median(times) / median(raw.times), "×")
        for name, times in other_times.items()
    ]


def _spread(values: list[float]) -> str:
    return f"{min(values):.2f}–{max(values):.2f} in {len(values)} repeats"


class _Cost:
    """Processor time per job, if the system reports it."""

    def __init__(self, processes: dict[str, int]) -> None:
        self._processes = processes
        self._before: dict[str, float | None] = {}
        self._per_job: dict[tuple[str, str], list[float]] = {}

    async def _now(self) -> dict[str, float | None]:
        return {name: await processor_seconds(pid) for name, pid in (self._processes | {"bench": os.getpid()}).items()}

    async def begin(self) -> None:
        self._before = await self._now()

    async def end(self, what: str, jobs: int) -> None:
        for process, after in (await self._now()).items():
            before = self._before[process]
            if before is not None and after is not None:
                self._per_job.setdefault((what, process), []).append((after - before) * 1000 / jobs)

    def figures(self) -> list[Figure]:
        return [
            Figure(f"  processor time per {what} job in {process}", median(times), "ms")
            for (what, process), times in self._per_job.items()
            if median(times) >= 1
        ]
