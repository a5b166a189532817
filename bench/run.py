"""`make bench`: measures the product on this machine against its targets, and prints a table.

The exit code says only whether the measurement succeeded: a missed target is a result, not an error.
"""

import argparse
import asyncio
import json
import os
import secrets
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from rich.console import Console

sys.dont_write_bytecode = False  # The SDK's sandbox loads workflow modules for every job: without a cache, it compiles.

from bench import index, jobs, reads, sockets, streams, surfaces
from bench.connection import Connection
from bench.figures import Figure, as_data, at_most, show
from bench.processes import BenchFailed, Command, free_port, tail
from orchestrator.commandline.terminal.exits import leave
from orchestrator.domain.access import ORDINARY
from orchestrator.domain.errors import OrchestratorError
from orchestrator.domain.limits import SurfaceLimit
from orchestrator.engine.server_binary import locate

_WIDE: Final = {"requests_per_minute": 10**6, "concurrent_jobs": 10**4, "monthly_tokens": 10**9}
FULL: Final = jobs.Amount(repeats=7, in_sequence=20, in_parallel=96)
QUICK: Final = jobs.Amount(repeats=2, in_sequence=10, in_parallel=48)


async def measure(folder: Path, *, quick: bool, console: Console) -> list[Figure]:
    """Measure every figure. Raises `BenchFailed` if a step fails."""
    key = f"dvr_sk_test_{secrets.token_urlsafe(24)}"
    await locate(os.environ)  # Provide the server before the measurement starts.
    amount = QUICK if quick else FULL
    console.print("Embedded: one process with API and worker, Temporal beside it")
    address, port = f"127.0.0.1:{free_port()}", free_port()
    ports = ("--port", str(port), "--temporal-port", address.rpartition(":")[2], "--ui-port", "0")
    async with Command(folder / "dev", "dev", *ports, ORCHESTRATOR_ADMIN_API_KEY=key) as dev:
        figures = [at_most("`orchestrator dev`, start → ready", 10, dev.ready_seconds, "s")]
        figures += await jobs.measure(dev, address, port, key, amount)
    console.print("Index: a Temporal server, and no worker")
    figures += await _index(folder / "index", waiting=1000 if quick else 5000)
    console.print("Scaled: Temporal, API and worker as separate processes")
    return figures + await _scaled(folder / "scaled", key, reads_count=200 if quick else 600)


async def _index(folder: Path, *, waiting: int) -> list[Figure]:
    address = f"127.0.0.1:{free_port()}"
    async with Command(folder, "temporal", "--port", address.rpartition(":")[2], "--ui-port", "0"):
        return await index.measure(folder, address, waiting=waiting)


async def _scaled(folder: Path, key: str, *, reads_count: int) -> list[Figure]:
    address, port, other, metrics_port = f"127.0.0.1:{free_port()}", free_port(), free_port(), free_port()
    shared = {
        "TEMPORAL_ADDRESS": address,
        "ORCHESTRATOR_ADMIN_API_KEY": key,
        # Requests count as for any caller, but never reach the limit.
        "ORCHESTRATOR_TIERS": json.dumps({"enterprise": _WIDE}),
        "ORCHESTRATOR_SURFACE_LIMITS": json.dumps({name: {"limit": 10**6, "seconds": 60} for name in SurfaceLimit}),
    }
    temporal = Command(folder, "temporal", "--port", address.rpartition(":")[2], "--ui-port", "0")
    worker = Command(folder, "worker", **shared, ORCHESTRATOR_WORKER_METRICS_PORT=str(metrics_port))
    api = Command(folder, "api", "--port", str(port), **shared)
    second = Command(folder, "api", "--port", str(other), **shared)
    async with temporal, worker, api:
        key = await _issued(port, key)
        figures = await reads.measure(api, worker, metrics_port=metrics_port, port=port, key=key, reads=reads_count)
        figures += await streams.measure(api, port=port, key=key)
        figures += await sockets.measure(api, port=port, key=key)
        async with second:
            return figures + await surfaces.measure((port, other), key, calls=reads_count // 20)


async def _issued(port: int, admin_key: str) -> str:
    """Issue a key with limits, so that the measured requests are like those of callers."""
    admin = Connection(port, admin_key)
    scopes = [str(scope) for scope in ORDINARY]
    answer = await admin.call("POST", "/v1/auth/api-keys", {"name": "bench", "scopes": scopes, "tier": "enterprise"})
    await admin.close()
    return str(answer["api_key"])


def main() -> int:
    """Run the benchmark and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute, with wider spread")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to a file")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 140)
    with TemporaryDirectory(prefix="orchestrator-bench-") as folder:
        try:
            figures = asyncio.run(measure(Path(folder), quick=options.quick, console=console))
        except (BenchFailed, OrchestratorError) as fault:
            for log in Path(folder).glob("*/*.log"):
                console.print(f"{log.name} ends with:\n{tail(log)}", markup=False, highlight=False)
            console.print(f"bench: {fault}", style="bold", markup=False)
            return 1
    show(console, figures)
    if options.json:
        about = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "cores": os.cpu_count()}
        options.json.write_text(json.dumps(about | {"figures": as_data(figures)}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    try:
        code = main()
    except Exception:  # noqa: BLE001 - the process edge: the SDK's threads must not meet the interpreter's own exit
        traceback.print_exc()
        code = 1
    leave(code)
