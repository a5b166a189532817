"""`python -m bench.growth --hours 1`: memory of the worker, the API and Temporal while two jobs start each second.

The first ten minutes do not count: caches fill. After each minute it prints a line, at the end MB per hour. A machine
that does not finish two jobs a second starts fewer: each line has the number of jobs.
"""

import argparse
import asyncio
import json
import os
import secrets
import sys
import time
from itertools import cycle
from pathlib import Path
from statistics import linear_regression
from tempfile import TemporaryDirectory
from typing import Final

from rich.console import Console

from bench.connection import Connection
from bench.jobs import waited_for
from bench.plugin import J3
from bench.processes import BenchFailed, Command
from bench.programs import resident, tree
from bench.scaled import scaled
from orchestrator.commandline.terminal.exits import leave
from orchestrator.engine.server_binary import locate

_LANES: Final = 16
_SAMPLE_SECONDS: Final = 60.0
_WARM_SECONDS: Final = 600.0


async def measure(folder: Path, console: Console, *, hours: float, rate: float) -> dict[str, list[list[float]]]:
    """Minutes and MB of each process, sampled once a minute. Raises `BenchFailed`."""
    await locate(os.environ)
    async with scaled(folder / "scaled", f"dvr_sk_test_{secrets.token_urlsafe(24)}", quick=True) as at:
        connections = [Connection(at.port, at.key) for _ in range(_LANES)]
        ended: list[float] = []
        load = asyncio.create_task(_jobs(connections, rate, ended))
        samples: dict[str, list[list[float]]] = {"worker": [], "API": [], "Temporal": []}
        began = time.monotonic()
        while (passed := time.monotonic() - began) < hours * 3600:
            done, _ = await asyncio.wait([load], timeout=_SAMPLE_SECONDS)
            for task in done:
                task.result()
            for name, command in (("worker", at.worker), ("API", at.api), ("Temporal", at.temporal)):
                samples[name].append([passed / 60, _megabytes(command)])
            console.print(
                f"{passed / 60:5.1f} min, {len(ended)} jobs",
                {name: round(rows[-1][1]) for name, rows in samples.items()},
            )
        load.cancel()
        return samples


async def _jobs(connections: list[Connection], rate: float, ended: list[float]) -> None:
    """Start jobs at a constant rate, or as soon as an earlier one has ended, and add the time of each to `ended`."""
    running: dict[Connection, asyncio.Task[None]] = {}
    due = time.monotonic()
    async with asyncio.TaskGroup() as jobs:
        for connection in cycle(connections):
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if connection in running:
                await running[connection]
                ended.append(time.monotonic())
            running[connection] = jobs.create_task(waited_for(connection, J3))


def _megabytes(command: Command) -> float:
    """Resident memory of a command with its children: Temporal's server is a child of `orchestrator temporal`."""
    return sum(resident(process.pid) for process in tree(command.pid))


def show(console: Console, samples: dict[str, list[list[float]]]) -> None:
    """Print the growth of each process after the first ten minutes."""
    for name, rows in samples.items():
        counted = [row for row in rows if row[0] * 60 >= _WARM_SECONDS]
        if len(counted) < 2:
            console.print(f"{name}: {rows[-1][1]:.0f} MB; the growth needs more than eleven minutes")
            continue
        slope = linear_regression([row[0] / 60 for row in counted], [row[1] for row in counted]).slope
        share = slope / counted[0][1] * 100
        console.print(f"{name}: {counted[0][1]:.0f} → {counted[-1][1]:.0f} MB, {slope:+.1f} MB/h ({share:+.1f} %/h)")


def main() -> int:
    """Run the measurement and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--rate", type=float, default=2.0, help="jobs per second")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the samples to a file")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 140)
    with TemporaryDirectory(prefix="orchestrator-growth-") as folder:
        try:
            samples = asyncio.run(measure(Path(folder), console, hours=options.hours, rate=options.rate))
        except* BenchFailed as faults:
            console.print(f"bench: {faults.exceptions[0]}", style="bold", markup=False)
            samples = {}
    if not samples:
        return 1
    show(console, samples)
    if options.json:
        options.json.write_text(json.dumps(samples, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    leave(main())
