"""What is measured, one function for each thing; times are seconds."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from uuid import uuid4

import httpx2
from temporalio.client import Client

from bench.plugin import J3, WAIT
from bench.raw import QUEUE, RawWorkflow, Text

Job = Callable[[], Awaitable[None]]


def raw_job(client: Client) -> Job:
    """One job on the bare SDK: start, and wait for the result."""

    async def run() -> None:
        await client.execute_workflow(
            RawWorkflow.run, Text(text="x" * 200), id=f"raw-{uuid4()}", task_queue=QUEUE, request_eager_start=True
        )

    return run


def product_job(client: httpx2.AsyncClient) -> Job:
    """The same job through HTTP: one synchronous call that answers with the result."""

    async def run() -> None:
        answer = await client.post(f"/v1/workflows/{J3}/run", json={"input": {"text": "x" * 200}})
        if answer.status_code != 200 or answer.json()["status"] != "completed":
            raise RuntimeError(answer.text[:500])

    return run


async def latencies(job: Job, times: int) -> list[float]:
    """How long each of so many jobs takes, one at a time."""
    measured = []
    for _ in range(times):
        began = time.perf_counter()
        await job()
        measured.append(time.perf_counter() - began)
    return measured


async def throughput(job: Job, times: int, in_flight: int) -> float:
    """Jobs per second with so many at once."""
    left = iter(range(times))

    async def work() -> None:
        for _ in left:
            await job()

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(in_flight)))
    return times / (time.perf_counter() - began)


async def waiting_jobs(client: httpx2.AsyncClient, number: int) -> list[str]:
    """Start so many jobs that run and wait for an approval; their ids once all wait."""

    async def start() -> str:
        answer = await client.post(f"/v1/workflows/{WAIT}/run", json={"input": {}, "async": True})
        job_id = str(answer.json()["job_id"])
        while True:
            job = (await client.get(f"/v1/jobs/{job_id}")).json()
            if job["reason"] and job["reason"]["code"] == "waiting_for_approval":
                return job_id
            await asyncio.sleep(0.2)

    gate = asyncio.Semaphore(8)

    async def gently() -> str:
        async with gate:
            return await start()

    return list(await asyncio.gather(*(gently() for _ in range(number))))


def read(client: httpx2.AsyncClient, job_ids: list[str]) -> Job:
    """A read of one job after another, round and round."""
    turn = 0

    async def run() -> None:
        nonlocal turn
        turn += 1
        answer = await client.get(f"/v1/jobs/{job_ids[turn % len(job_ids)]}")
        if answer.status_code != 200:
            raise RuntimeError(answer.text[:500])

    return run


def p50(values: list[float]) -> float:
    """The median."""
    return statistics.median(values)
