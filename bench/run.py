"""`make bench`: the figures of docs/performance.md, as ratios within one run where the machine would decide."""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))

import httpx2
from temporalio.worker import Worker

from bench import measure, raw
from bench.stack import Command, command, free_port, http
from orchestrator.engine.connect import connect, connect_options

IN_FLIGHT: Final = 16
OPEN_JOBS: Final = 20
CACHED: Final = 200


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report. `most` and `least` are the target; one of them is None."""

    name: str
    value: float
    unit: str
    most: float | None = None
    least: float | None = None
    note: str = ""

    @property
    def held(self) -> bool:
        """Whether the target is met."""
        return (self.most is None or self.value <= self.most) and (self.least is None or self.value >= self.least)


async def jobs_and_reads(folder: Path, *, quick: bool) -> list[Figure]:
    """Everything that one `orchestrator dev` is asked."""
    api, temporal = free_port(), free_port()
    ports = ("--port", str(api), "--temporal-port", str(temporal), "--ui-port", str(free_port()))
    with command(folder, "dev", *ports, "--data-dir", str(folder / "dev")) as dev:
        ready = dev.until_ready()
        client = await connect(connect_options({}, f"127.0.0.1:{temporal}"), lazy=False)
        worker = Worker(
            client, task_queue=raw.QUEUE, workflows=[raw.RawWorkflow], activities=[raw.first, raw.second, raw.third]
        )
        async with http(api) as product, worker:
            figures = await _against_raw(measure.raw_job(client), measure.product_job(product), quick=quick)
            figures += await _reads(product, quick=quick)
        return [Figure("`dev` is ready after", ready, "s", most=10), *figures]


async def _against_raw(bare: measure.Job, product: measure.Job, *, quick: bool) -> list[Figure]:
    blocks, times, many = (2, 15, 60) if quick else (4, 30, 160)
    await measure.latencies(bare, 10)
    await measure.latencies(product, 10)
    alone: dict[str, list[float]] = {"raw": [], "product": []}
    together: dict[str, list[float]] = {"raw": [], "product": []}
    for _ in range(blocks):
        for name, job in (("raw", bare), ("product", product)):
            alone[name] += await measure.latencies(job, times)
            together[name].append(await measure.throughput(job, many, IN_FLIGHT))
    one = {name: measure.p50(values) for name, values in alone.items()}
    rate = {name: statistics.median(values) for name, values in together.items()}
    return [
        Figure(
            "J3, one at a time: product ÷ raw, p50",
            one["product"] / one["raw"],
            "×",
            most=1.5,
            note=f"{one['product'] * 1000:.0f} ms against {one['raw'] * 1000:.0f} ms",
        ),
        Figure(
            f"J3, {IN_FLIGHT} in flight: product ÷ raw, jobs/s",
            rate["product"] / rate["raw"],
            "×",
            least=0.7,
            note=f"{rate['product']:.1f} against {rate['raw']:.1f} jobs/s",
        ),
    ]


async def _reads(client: httpx2.AsyncClient, *, quick: bool) -> list[Figure]:
    times = 100 if quick else 400
    page = await client.get("/v1/jobs", params={"status": "completed", "limit": 20})
    closed = page.json()["jobs"]
    opened = await measure.waiting_jobs(client, OPEN_JOBS)
    of_open = measure.read(client, opened)
    of_closed = measure.read(client, [job["job_id"] for job in closed])
    await measure.latencies(of_closed, 40)
    slow = measure.p50(await measure.latencies(of_open, times)) * 1000
    fast = measure.p50(await measure.latencies(of_closed, times)) * 1000
    return [
        Figure(f"read of an open job, {OPEN_JOBS} running, p50", slow, "ms", most=10),
        Figure(f"read of a closed job, {OPEN_JOBS} running, p50", fast, "ms", most=4),
        Figure("reads of open jobs", await measure.throughput(of_open, times * 3, IN_FLIGHT), "1/s", least=300),
        Figure("reads of closed jobs", await measure.throughput(of_closed, times * 3, IN_FLIGHT), "1/s", least=300),
    ]


async def memory(folder: Path) -> list[Figure]:
    """Resident memory of an API and a worker of their own, with many jobs open."""
    temporal, api = free_port(), free_port()
    data = str(folder / "apart")
    address = {"TEMPORAL_ADDRESS": f"127.0.0.1:{temporal}"}
    ports = ("--port", str(temporal), "--ui-port", str(free_port()))
    with command(folder, "temporal", *ports, "--data-dir", data) as server:
        server.until_ready()
        with (
            command(folder, "worker", "--data-dir", data, **address) as worker,
            command(folder, "api", "--port", str(api), "--data-dir", data, **address) as front,
        ):
            worker.until_ready()
            await _answers(front, api)
            async with http(api) as client:
                await measure.waiting_jobs(client, CACHED)
            return [
                Figure(f"worker with {CACHED} cached workflows", worker.resident_mb, "MB", most=250),
                Figure(f"API after starting and reading {CACHED} jobs", front.resident_mb, "MB", most=200),
            ]


async def _answers(front: Command, port: int) -> None:
    front.until_ready()
    async with http(port) as client:
        while (await client.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.1)


def show(figures: list[Figure]) -> None:
    """The report, as a table."""
    width = max(len(figure.name) for figure in figures)
    for figure in figures:
        target = f"≤ {figure.most:g}" if figure.most is not None else f"≥ {figure.least:g}"
        verdict = "ok    " if figure.held else "MISSED"
        row = f"{verdict} {figure.name:{width}}  {figure.value:8.2f} {figure.unit:4} {target:>7}  {figure.note}"
        sys.stdout.write(row.rstrip() + "\n")


async def main() -> None:
    """Measure and report; the exit code says only whether it could be measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = await jobs_and_reads(folder, quick=options.quick) + await memory(folder)
    show(figures)
    if options.json:
        options.json.write_text(json.dumps([asdict(figure) | {"held": figure.held} for figure in figures], indent=1))


if __name__ == "__main__":
    asyncio.run(main())
    sys.stdout.flush()
    os._exit(0)
