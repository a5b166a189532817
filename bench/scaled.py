"""The product in several processes: Temporal, a worker and two APIs."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.connection import Connection
from bench.processes import Command, free_port
from orchestrator.domain.access import ORDINARY
from orchestrator.domain.limits import SurfaceLimit

_WIDE: Final = {"requests_per_minute": 10**6, "concurrent_jobs": 10**4, "monthly_tokens": 10**9}


@dataclass(frozen=True, slots=True)
class Scaled:
    """A running product. `other_port` is of a second API process, `reads` the number of reads to measure."""

    temporal: Command
    api: Command
    worker: Command
    port: int
    other_port: int
    metrics_port: int
    key: str
    reads: int


@asynccontextmanager
async def scaled(folder: Path, key: str, *, quick: bool) -> AsyncIterator[Scaled]:
    """Start all processes."""
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
    async with temporal, worker, api, second:
        issued = await _issued(port, key)
        yield Scaled(temporal, api, worker, port, other, metrics_port, issued, reads=200 if quick else 600)


async def _issued(port: int, admin_key: str) -> str:
    """Issue a key with limits, so that the measured requests are like those of callers."""
    admin = Connection(port, admin_key)
    scopes = [str(scope) for scope in ORDINARY]
    answer = await admin.call("POST", "/v1/auth/api-keys", {"name": "bench", "scopes": scopes, "tier": "enterprise"})
    await admin.close()
    return str(answer["api_key"])
