"""Job latency and throughput: the product through HTTP against the bare SDK, in turns on one Temporal server."""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any, Final

import psutil
from pydantic_core import from_json
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from bench.connection import Connection
from bench.embedded import Embedded
from bench.figures import Figure, at_least, at_most
from bench.load import Call, one_at_a_time, per_second
from bench.plugin import J3, SHORT
from bench.processes import BenchFailed
from bench.programs import seconds_of
from bench.raw import QUEUE, RawLocalWorkflow, RawWorkflow, Text, first, second, third

IN_FLIGHT: Final = 16
_INPUT: Final = {"text": "x" * 200}


@dataclass(frozen=True, slots=True)
class Amount:
    """The number of repeats and jobs of a measurement."""

    repeats: int
    in_sequence: int
    in_parallel: int


_FULL: Final = Amount(repeats=5, in_sequence=20, in_parallel=96)
_QUICK: Final = Amount(repeats=2, in_sequence=10, in_parallel=48)


@dataclass(slots=True)
class Way:
    """One way to run the job, and its results: for each repeat the median time in ms, and the jobs per second.

    `floor` is the way of the bare SDK that it is compared with; `slower` and `share` are the targets.
    """

    name: str
    lanes: list[Call]
    floor: "Way | None" = None
    slower: float | None = None
    share: float | None = None
    medians: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def figures(self) -> list[Figure]:
        """Latency and throughput, as ratios to the bare SDK in the same repeats."""
        if self.floor is None:
            return []
        slower = [ours / floor for ours, floor in zip(self.medians, self.floor.medians, strict=True)]
        share = [ours / floor for ours, floor in zip(self.rates, self.floor.rates, strict=True)]
        floor = self.floor
        return [
            _figure(
                at_most,
                f"J3, {self.name}, p50 ÷ {floor.name}",
                self.slower,
                slower,
                f"{median(self.medians):.1f} ÷ {median(floor.medians):.1f} ms",
            ),
            _figure(
                at_least,
                f"  {IN_FLIGHT} in flight, jobs/s ÷ {floor.name}",
                self.share,
                share,
                f"{median(self.rates):.1f} ÷ {median(floor.rates):.1f} jobs/s",
            ),
        ]


def _figure(judged: Any, name: str, target: float | None, ratios: list[float], what: str) -> Figure:
    note = f"{what}; {min(ratios):.2f}–{max(ratios):.2f} in {len(ratios)} repeats"
    if target is None:
        return Figure(name, median(ratios), "×", note=note)
    figure: Figure = judged(name, target, median(ratios), "×", note)
    return figure


@asynccontextmanager
async def bare_workers(address: str) -> AsyncIterator[tuple[Call, Call]]:
    """Start two workers and a client of the bare SDK in this process.

    Yields the calls that run one job: with activities, and with local activities outside the sandbox.
    """
    client = await Client.connect(address, data_converter=pydantic_data_converter)

    async def run(flow: Any, queue: str) -> None:
        handle = await client.start_workflow(
            flow, Text(**_INPUT), id=f"raw-{uuid.uuid4().hex}", task_queue=queue, request_eager_start=True
        )
        await handle.result()

    activities = [first, second, third]
    worker = Worker(client, task_queue=QUEUE, workflows=[RawWorkflow], activities=activities)
    local_queue = f"{QUEUE}-local"
    local = Worker(
        client,
        task_queue=local_queue,
        workflows=[RawLocalWorkflow],
        activities=activities,
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    async with worker, local:
        yield partial(run, RawWorkflow.run, QUEUE), partial(run, RawLocalWorkflow.run, local_queue)


async def synchronous(connection: Connection, workflow: str) -> None:
    """Start the job and wait for its result in the same request."""
    _completed(await connection.call("POST", f"/v1/workflows/{workflow}/run", {"input": _INPUT}))


async def started(connection: Connection, workflow: str) -> str:
    """Start a job and return its id."""
    accepted = await connection.call("POST", f"/v1/workflows/{workflow}/run", {"input": _INPUT, "async": True})
    return str(accepted["job_id"])


async def waited_for(connection: Connection, workflow: str, until: str = "end") -> None:
    """Start the job, then read it with `?wait` until it has ended. By default as the clients do, with `until=end`."""
    job_id = await started(connection, workflow)
    while True:
        job = await connection.call("GET", f"/v1/jobs/{job_id}?wait=30&until={until}")
        if job["completed_at"] is not None:
            return _completed(job)


async def streamed(connection: Connection, stream: Connection, workflow: str) -> None:
    """Start the job, then follow its events to the last, which contains the result."""
    job_id = await started(connection, workflow)
    last = b"{}"
    async for _, data in stream.events(f"/v1/jobs/{job_id}/events"):
        last = data
    event = from_json(last)
    _completed({"status": event["status"], "output": event["data"]["output"]})


def _completed(job: dict[str, Any]) -> None:
    if job["status"] != "completed" or not job["output"]["output"]:
        raise BenchFailed(f"a job did not complete: {job}")


async def measure(at: Embedded) -> list[Figure]:
    """Latency and throughput of three function agents in sequence, as ratios to the bare SDK in the same run."""
    amount = _QUICK if at.quick else _FULL
    connections = [Connection(at.port, at.key) for _ in range(IN_FLIGHT)]
    streams = [Connection(at.port, at.key) for _ in range(IN_FLIGHT)]
    cost = _Cost({"the product": at.dev.pid, "Temporal": at.temporal})
    async with bare_workers(at.address) as (bare, bare_local):
        raw = Way("bare SDK", [bare] * IN_FLIGHT)
        local = Way("bare SDK, local activities outside the sandbox", [bare_local] * IN_FLIGHT)
        ways = [
            raw,
            Way("one synchronous call", [partial(synchronous, one, J3) for one in connections], raw, 1.5, 0.7),
            Way("start, then ?wait", [partial(waited_for, one, J3) for one in connections], raw, 1.3, 0.75),
            Way("start, then ?wait&until=change", [partial(waited_for, one, J3, "change") for one in connections], raw),
            Way(
                "start, then events",
                [partial(streamed, one, stream, J3) for one, stream in zip(connections, streams, strict=True)],
                raw,
            ),
            local,
            Way("short steps, then ?wait", [partial(waited_for, one, SHORT) for one in connections], local, 1.3, 0.75),
        ]
        for way in ways:
            await per_second(way.lanes, 2 * IN_FLIGHT)  # warm-up
        for repeat in range(amount.repeats):
            for way in ways if repeat % 2 else reversed(ways):
                way.medians.append(median(await one_at_a_time(way.lanes[0], amount.in_sequence)))
                cost.begin()
                way.rates.append(await per_second(way.lanes, amount.in_parallel))
                cost.end(way.name, amount.in_parallel)
    for connection in [*connections, *streams]:
        await connection.close()
    return [*(figure for way in ways for figure in way.figures()), *cost.figures()]


class _Cost:
    """Processor time per job of each way, by process."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in (pids | {"bench": os.getpid()}).items()}
        self._before: dict[str, float] = {}
        self._per_job: dict[str, dict[str, list[float]]] = {}

    def begin(self) -> None:
        self._before = {name: seconds_of(process) for name, process in self._processes.items()}

    def end(self, way: str, jobs: int) -> None:
        for name, process in self._processes.items():
            used = (seconds_of(process) - self._before[name]) * 1000 / jobs
            self._per_job.setdefault(way, {}).setdefault(name, []).append(used)

    def figures(self) -> list[Figure]:
        figures = []
        for way, used in self._per_job.items():
            parts = {name: median(times) for name, times in used.items()}
            note = ", ".join(f"{name} {part:.1f} ms" for name, part in parts.items() if part >= 0.5)
            figures.append(Figure(f"  processor time of a job, {way}", sum(parts.values()), "ms", note=note))
        return figures
