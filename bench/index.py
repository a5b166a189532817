"""The job index with many jobs: a filtered list of a hundred thousand, and a reconciler pass over waiting jobs."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, Final

from pydantic import SecretStr
from sqlalchemy import Connection, insert

from bench.figures import Figure, at_most
from bench.plugin import WAIT
from bench.plugin import plugin as bench_plugin
from bench.processes import BenchFailed
from orchestrator.composition.process import Parts, build_parts, prepare
from orchestrator.domain.access import Principal, Scope
from orchestrator.domain.commands import ReconcileRequest
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import JobState
from orchestrator.engine.connect import connect, connect_options
from orchestrator.plugins import build_catalogue
from orchestrator.services.jobs.start import StartRequest
from orchestrator.settings import Settings
from orchestrator.storage.jobs import JobRepository
from orchestrator.storage.tables import StartState, jobs

_ROWS: Final = 100_000
_BATCH: Final = 500
_DEFINITIONS: Final = 10
_READS: Final = 100
_AT_ONCE: Final = 16
_OWNER: Final = Principal(id="bench", scopes=frozenset({Scope.ADMIN}))


async def measure(folder: Path, address: str, *, waiting: int) -> list[Figure]:
    """Measure both figures, on an index in `folder` and a Temporal server without a worker. Raises `BenchFailed`."""
    settings = Settings(data_dir=folder, task_queue="bench-index", admin_api_key=SecretStr("dvr_sk_bench_index"))
    client = await connect(connect_options({}, address), lazy=False)
    parts = build_parts(settings, build_catalogue([bench_plugin]), client)
    try:
        await prepare(parts, reconcile=False)
        return [await _pass(parts, waiting), await _list(parts)]
    finally:
        await parts.aclose()


async def _pass(parts: Parts, waiting: int) -> Figure:
    """The processor time of this process in one pass. Every job was checked once before."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def start() -> None:
        async with gate:
            await parts.services.starter.start(_OWNER, StartRequest(JobKind.WORKFLOW, WAIT, {}))

    await asyncio.gather(*(start() for _ in range(waiting)))
    await parts.workers.reconciler.reconcile(ReconcileRequest(grace=-1.0))
    began = time.process_time()
    report = await parts.workers.reconciler.reconcile(ReconcileRequest(grace=-1.0))
    seconds = time.process_time() - began
    if report.checked != waiting:
        raise BenchFailed(f"the reconciler compared {report.checked} jobs, not {waiting}")
    return at_most(f"reconciler, one pass over {waiting} open jobs, processor time", 2, seconds, "s")


async def _list(parts: Parts) -> Figure:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    for first in range(0, _ROWS, _BATCH):
        rows = [_row(number, began) for number in range(first, first + _BATCH)]
        await parts.backend.database.transaction(_written(rows))
    repository, times = JobRepository(parts.backend.database), []
    for number in range(_READS):
        before = time.perf_counter()
        await repository.list(
            owner=None,
            states=None,
            kind=JobKind.WORKFLOW,
            definition=f"workflow_{number % _DEFINITIONS}",
            limit=20,
            offset=0,
        )
        times.append((time.perf_counter() - before) * 1000)
    return at_most(f"list of jobs by workflow among {_ROWS}, p50", 10, median(times), "ms")


def _written(rows: list[dict[str, Any]]) -> Callable[[Connection], None]:
    return lambda connection: connection.execute(insert(jobs), rows).close()


def _row(number: int, began: datetime) -> dict[str, Any]:
    at = began + timedelta(seconds=number)
    document = {"text": "x" * 500}
    return {
        "id": f"wf_job_{number:032x}",
        "kind": JobKind.WORKFLOW,
        "definition": f"workflow_{number % _DEFINITIONS}",
        "name": "A job",
        "owner": f"owner-{number % 7}",
        "state": JobState.COMPLETED,
        "progress": 100,
        "job_input": document,
        "request_hash": "",
        "start_state": StartState.STARTED,
        "total_calls": 3,
        "created_at": at,
        "started_at": at,
        "closed_at": at,
        "snapshot": document,
        "events": [document],
        "result": document,
    }
