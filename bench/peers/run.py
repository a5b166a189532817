"""`make bench-peers`: the same jobs on the product, the bare Temporal SDK, DBOS and Prefect, one after the other.

J3 is three trivial steps in sequence; the plan has eighteen agents, whose model answers after a second.
"""

import argparse
import asyncio
import json
import os
import secrets
import sys
import traceback
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from bench.agent_calls import CALLS, PATH
from bench.agents import AT_ONCE, Product, bare_app
from bench.embedded import Embedded, embedded
from bench.peers.servers import postgres, prefect_server
from bench.processes import BenchFailed
from bench.programs import ModelServer, ProcessorTime, Program
from orchestrator.commandline.terminal.exits import leave
from orchestrator.domain.errors import OrchestratorError
from orchestrator.engine.server_binary import locate

IN_FLIGHT: Final = 16
_LIMIT: Final = 300  # Seconds for the jobs of one figure.
_ENVIRONMENTS: Final = Path(__file__).resolve().parents[2] / ".tools" / "peers"
STORES: Final = {
    "product": "every event, input and result (Temporal, SQLite); each attempt before its call, status, cost (index)",
    "bare SDK": "every event, input and result (Temporal, SQLite)",
    "DBOS": "input, and the result of each step (PostgreSQL, flushed at each commit)",
    "Prefect": "states of runs (server, PostgreSQL); results of tasks in files, inputs not",
}


@dataclass(slots=True)
class Peer:
    """What one engine needs for the jobs. Lists have one value for each repeat."""

    name: str
    stores: str
    j3: list[float] = field(default_factory=list)
    j3_rate: list[float] = field(default_factory=list)
    j3_cpu: list[float] = field(default_factory=list)
    path: dict[int, list[float]] = field(default_factory=dict)
    ended: dict[int, list[int]] = field(default_factory=dict)
    call_cpu: dict[int, list[float]] = field(default_factory=dict)


async def _measured(peer: Peer, request: Callable[..., Awaitable[dict[str, Any]]], pids: list[int], j3: int) -> None:
    """Run all jobs once. Times in ms, the plan's in critical paths, of the jobs that end within the limit."""
    await request(j3=IN_FLIGHT, lanes=IN_FLIGHT)  # warm-up
    await request(plan=1)
    peer.j3.append(median((await request(j3=20, lanes=1))["seconds"]) * 1000)
    used = ProcessorTime(pids)
    times = await request(j3=j3, lanes=IN_FLIGHT, within=_LIMIT)
    peer.j3_rate.append(len(times["seconds"]) / times["all"])
    peer.j3_cpu.append(used.seconds() * 1000 / j3)
    for count in AT_ONCE:
        used = ProcessorTime(pids)
        seconds = (await request(plan=count, within=_LIMIT))["seconds"]
        peer.ended.setdefault(count, []).append(len(seconds))
        if seconds:
            peer.path.setdefault(count, []).append(median(seconds) / PATH)
        peer.call_cpu.setdefault(count, []).append(used.seconds() * 1000 / count / CALLS)
    paths = ", ".join(f"{count}: {times[-1]:.2f} ({peer.ended[count][-1]})" for count, times in peer.path.items())
    line = f"  {peer.name}: J3 {peer.j3[-1]:.1f} ms, {peer.j3_rate[-1]:.0f} jobs/s; critical paths {paths}"
    print(line, flush=True)  # noqa: T201 - the progress of minutes


class Peers:
    """Measures every engine, each while the others do not run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.peers = {name: Peer(name, stores) for name, stores in STORES.items()}

    async def run(self, names: set[str], repeats: int) -> None:
        """Measure the named engines in turns. Raises `BenchFailed`."""
        await locate(os.environ)
        for repeat in range(repeats):
            folder = self._folder / str(repeat)
            folder.mkdir()
            if names & {"product", "bare SDK"}:
                key = f"dvr_sk_test_{secrets.token_urlsafe(24)}"
                async with embedded(folder / "dev", key, quick=True) as at:
                    await self._on_temporal(at, names)
            async with ModelServer() as models:
                if "DBOS" in names:
                    await self._dbos(folder, models)
                if "Prefect" in names:
                    await self._prefect(folder / "prefect", models)

    async def _on_temporal(self, at: Embedded, names: set[str]) -> None:
        if "product" in names:
            product = Product(at.port, at.key)
            await _measured(self.peers["product"], product.request, at.pids, 96)
            await product.close()
        if "bare SDK" in names:
            async with bare_app(at) as bare:
                await _measured(self.peers["bare SDK"], bare.request, [bare.pid, at.temporal], 96)

    async def _dbos(self, folder: Path, models: ModelServer) -> None:
        arguments = ("bench.peers.dbos_app", "--model-url", models.url, "--database-url")
        with TemporaryDirectory(prefix="orchestrator-postgres-") as cluster:
            async with (
                postgres(Path(cluster), folder) as (pid, url),
                Program(*arguments, url, python=_python("dbos")) as app,
            ):
                await _measured(self.peers["DBOS"], app.request, [app.pid, pid], 192)

    async def _prefect(self, folder: Path, models: ModelServer) -> None:
        async with AsyncExitStack() as stack:
            cluster = stack.enter_context(TemporaryDirectory(prefix="orchestrator-postgres-"))
            folder.mkdir()
            database, url = await stack.enter_async_context(postgres(Path(cluster), folder))
            server = prefect_server(Path(_python("prefect")), folder, url)
            pid, environment = await stack.enter_async_context(server)
            program = partial(Program, "bench.peers.prefect_app", "--model-url", models.url)
            app = await stack.enter_async_context(program(python=_python("prefect"), **environment))
            await _measured(self.peers["Prefect"], app.request, [app.pid, pid, database], 32)


def _python(peer: str) -> str:
    path = _ENVIRONMENTS / peer / "bin" / "python"
    if not path.exists():
        raise BenchFailed(f"{path} is missing: run `make bench-peers`")
    return str(path)


def _paths(peer: Peer, count: int) -> str:
    """The time of `count` jobs of the plan, or how many of them ended within the limit."""
    if (ended := min(peer.ended[count])) < count:
        return f"{ended} of {count} jobs ended in {_LIMIT} s"
    return f"{median(peer.path[count]):.2f}"


def show(console: Console, peers: list[Peer]) -> None:
    """Print a table of all engines."""
    table = Table("figure", *(peer.name for peer in peers))
    table.add_row("J3, one at a time, p50", *(f"{median(peer.j3):.1f} ms" for peer in peers))
    table.add_row(f"J3, {IN_FLIGHT} in flight", *(f"{median(peer.j3_rate):.0f} jobs/s" for peer in peers))
    table.add_row("  processor time of a job", *(f"{median(peer.j3_cpu):.0f} ms" for peer in peers))
    for count in AT_ONCE:
        name = f"{CALLS} agents, {count} at once, over the critical path"
        table.add_row(name, *(_paths(peer, count) for peer in peers))
        cost = (f"{median(peer.call_cpu[count]):.1f} ms" for peer in peers)
        table.add_row("  processor time of a call, servers included", *cost)
    table.add_row("stores durably", *(peer.stores for peer in peers))
    console.print(table)


def main() -> int:
    """Run the benchmark and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--only", action="append", choices=STORES, help="measure this engine alone; may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to a file")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 160)
    names = set(options.only or STORES)
    with TemporaryDirectory(prefix="orchestrator-peers-") as folder:
        peers = Peers(Path(folder))
        try:
            asyncio.run(peers.run(names, options.repeats))
        except (BenchFailed, OrchestratorError) as fault:
            console.print(f"bench: {fault}", style="bold", markup=False)
            return 1
    chosen = [peer for peer in peers.peers.values() if peer.name in names]
    show(console, chosen)
    if options.json:
        about = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "cores": os.cpu_count()}
        options.json.write_text(json.dumps(about | {"peers": [asdict(peer) for peer in chosen]}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    try:
        code = main()
    except Exception:  # noqa: BLE001 - the process edge: the SDK's threads must not meet the interpreter's own exit
        traceback.print_exc()
        code = 1
    leave(code)
