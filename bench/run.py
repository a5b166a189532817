"""`make bench`: measures the product on this machine against its targets, and prints a table.

The exit code says only whether the measurement succeeded: a missed target is a result, not an error.
"""

import argparse
import asyncio
import json
import os
import secrets
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from rich.console import Console

sys.dont_write_bytecode = False  # The SDK's sandbox loads workflow modules for every job: without a cache, it compiles.

from bench import agents, history, imports, index, jobs, reads, rest, sockets, streams, surfaces, tokens, tools
from bench.embedded import Embedded, embedded
from bench.figures import Figure, as_data, at_most, show
from bench.processes import BenchFailed, Command, free_port, tail
from bench.scaled import Scaled, scaled
from orchestrator.commandline.terminal.exits import leave
from orchestrator.domain.errors import OrchestratorError
from orchestrator.engine.server_binary import locate

# In this order: each part may leave open jobs, which cost the later ones a little.
ALONE: Final[dict[str, Callable[[], Awaitable[list[Figure]]]]] = {"imports": imports.measure}
EMBEDDED: Final[dict[str, Callable[[Embedded], Awaitable[list[Figure]]]]] = {
    "jobs": jobs.measure,
    "agents": agents.measure,
    "tools": tools.measure,
    "tokens": tokens.measure,
    "history": history.measure,
    "rest": rest.measure,
}
SCALED: Final[dict[str, Callable[[Scaled], Awaitable[list[Figure]]]]] = {
    "reads": reads.measure,
    "streams": streams.measure,
    "sockets": sockets.measure,
    "surfaces": surfaces.measure,
}
PARTS: Final = (*ALONE, *EMBEDDED, "index", *SCALED)


class Bench:
    """Measures the chosen parts, and shows how long each took."""

    def __init__(self, folder: Path, parts: set[str], *, quick: bool, console: Console) -> None:
        self._folder = folder
        self._parts = parts
        self._quick = quick
        self._console = console
        self._key = f"dvr_sk_test_{secrets.token_urlsafe(24)}"
        self.figures: list[Figure] = []

    async def run(self) -> None:
        """Measure every chosen figure. Raises `BenchFailed` if a step fails."""
        await locate(os.environ)  # Provide the server before the measurement starts.
        for name, measure in ALONE.items():
            await self._part(name, measure)
        if self._parts & set(EMBEDDED):
            self._console.print("Embedded: one process with API and worker, Temporal beside it")
            async with embedded(self._folder / "dev", self._key, quick=self._quick) as product:
                self.figures.append(at_most("`orchestrator dev`, start → ready", 4, product.dev.ready_seconds, "s"))
                for name, measured in EMBEDDED.items():
                    await self._part(name, lambda measured=measured: measured(product))
        await self._part("index", self._index)
        if self._parts & set(SCALED):
            self._console.print("Scaled: Temporal, API and worker as separate processes")
            async with scaled(self._folder / "scaled", self._key, quick=self._quick) as processes:
                for name, measured_there in SCALED.items():
                    await self._part(name, lambda measured=measured_there: measured(processes))

    async def _part(self, name: str, measure: Callable[[], Awaitable[list[Figure]]]) -> None:
        if name not in self._parts:
            return
        began = time.monotonic()
        self.figures += await measure()
        self._console.print(f"  {name}: {time.monotonic() - began:.0f} s")

    async def _index(self) -> list[Figure]:
        """A Temporal server, and no worker."""
        address, folder = f"127.0.0.1:{free_port()}", self._folder / "index"
        async with Command(folder, "temporal", "--port", address.rpartition(":")[2], "--ui-port", "0"):
            return await index.measure(folder, address, waiting=1000 if self._quick else 5000)


def main() -> int:
    """Run the benchmark and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about three minutes, with wider spread")
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part alone; may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to a file")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 160)
    with TemporaryDirectory(prefix="orchestrator-bench-") as folder:
        bench = Bench(Path(folder), set(options.only or PARTS), quick=options.quick, console=console)
        try:
            asyncio.run(bench.run())
        except (BenchFailed, OrchestratorError) as fault:
            for log in Path(folder).glob("*/*.log"):
                console.print(f"{log.name} ends with:\n{tail(log)}", markup=False, highlight=False)
            console.print(f"bench: {fault}", style="bold", markup=False)
            return 1
    show(console, bench.figures)
    if options.json:
        about = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "cores": os.cpu_count()}
        options.json.write_text(json.dumps(about | {"figures": as_data(bench.figures)}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    try:
        code = main()
    except Exception:  # noqa: BLE001 - the process edge: the SDK's threads must not meet the interpreter's own exit
        traceback.print_exc()
        code = 1
    leave(code)
