"""Prepares waiting and ended jobs for the measurements of reads."""

import asyncio
import time
from typing import Any, Final

from bench.connection import Connection
from bench.jobs import started
from bench.plugin import J3, WAIT
from bench.processes import BenchFailed

TIMEOUT_SECONDS: Final = 120.0


async def waiting_and_ended(connection: Connection, count: int) -> tuple[list[str], list[str]]:
    """Start `count` jobs that wait for an approval and `count` that complete, and return their ids.

    Raises `BenchFailed`.
    """
    waiting = [await started(connection, WAIT) for _ in range(count)]
    ended = [await started(connection, J3) for _ in range(count)]
    for job_id in waiting:
        await waits(connection, job_id)
    for job_id in ended:
        await completed(connection, job_id)
    return waiting, ended


async def waits(connection: Connection, job_id: str) -> None:
    """Wait until a job waits for its approval. Raises `BenchFailed`."""
    await until(connection, job_id, lambda job: (job["reason"] or {}).get("code") == "waiting_for_approval")


async def completed(connection: Connection, job_id: str) -> None:
    """Wait until a job has completed. Raises `BenchFailed`."""
    await until(connection, job_id, lambda job: job["status"] == "completed")


async def until(connection: Connection, job_id: str, holds: Any) -> None:
    """Wait until `holds` is true of a job. Raises `BenchFailed`."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not holds(job := await connection.call("GET", f"/v1/jobs/{job_id}")):
        if time.monotonic() > deadline:
            raise BenchFailed(f"a job does not get where it should: {job}")
        await asyncio.sleep(0.05)


async def event_ids(connection: Connection, job_id: str) -> list[str]:
    """The ids of all events of a job, in order."""
    page = await connection.call("GET", f"/v1/jobs/{job_id}/events?limit=1000")
    return [event["id"] for event in page["events"]]
