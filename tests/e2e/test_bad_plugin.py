"""Code of one author that does every bad thing, beside jobs of others: nobody else notices (decision 0017)."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from orchestrator.testing import eventually
from tests.e2e.bad_plugin import BAD, INNOCENT
from tests.e2e.processes import KEY, Command, free_port, installation

INNOCENTS = 10
SETTINGS = {
    "ORCHESTRATOR_PLUGINS": "tests.e2e.bad_plugin",
    "ORCHESTRATOR_AGENT_BLOCK_SECONDS": "2",
}
BLOCKING = ("blocks", "spins", "blocks_in_a_callback", "blocks_a_thread", "exits_in_a_gathered_coroutine")


@asynccontextmanager
async def answering(client: httpx2.AsyncClient) -> AsyncIterator[None]:
    """`/healthz` answers all the time, within the client's timeout of this block."""

    async def ask() -> None:
        while True:
            answer = await client.get("/healthz", timeout=5)
            assert answer.status_code == 200
            await asyncio.sleep(0.1)

    asking = asyncio.create_task(ask())
    try:
        yield
        assert not asking.done(), asking.exception()
    finally:
        asking.cancel()


async def started(client: httpx2.AsyncClient, workflow: str, **input: Any) -> str:
    answer = await client.post(f"/v1/workflows/{workflow}/run", json={"input": input, "async": True})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


async def ended(client: httpx2.AsyncClient, job_id: str, seconds: float = 150) -> dict[str, Any]:
    async def job() -> Any:
        return (await client.get(f"/v1/jobs/{job_id}", params={"wait": 1})).json()

    ending: dict[str, Any] = await eventually(job, lambda job: job["completed_at"] is not None, seconds)
    return ending


async def beside_innocents(client: httpx2.AsyncClient, names: Iterable[str]) -> None:
    async with answering(client):
        innocent = [await started(client, "w_innocent", seconds=4, number=number) for number in range(INNOCENTS)]
        bad = {name: await started(client, f"w_{name}") for name in names}
        for job_id in innocent:
            job = await ended(client, job_id)
            assert job["status"] == "completed", job
            attempts = [attempt["status"] for step in job["steps"] for attempt in step["attempts"]]
            assert attempts == ["completed"] * len(INNOCENT)
        outcomes = {}
        for name, job_id in bad.items():
            job = await ended(client, job_id)
            outcomes[name] = job["error"]["type"] if job["error"] else None
        expected = {name: BAD[name].ends for name in names}
        assert {name: end for name, end in outcomes.items() if expected[name] not in (end, ...)} == {}
        after = await ended(client, await started(client, "w_innocent", seconds=0.1))
        assert after["status"] == "completed"


async def test_every_bad_thing_beside_ten_innocent_jobs(tmp_path: Path) -> None:
    metrics = free_port()
    async with installation(tmp_path, **SETTINGS, ORCHESTRATOR_WORKER_METRICS_PORT=str(metrics)) as running:
        await beside_innocents(running.client, BAD)
        counted = (await running.client.get(f"http://127.0.0.1:{metrics}/metrics")).text
        assert re.search(r'orchestrator_agent_blocked_total\{.*activity_type="b_blocks".*\} 1', counted)
        assert running.worker.process is not None
        assert running.worker.process.returncode is None
        assert running.worker.text().count("part_restarts") == 0
        output = [line for line in running.worker.text().splitlines() if "author_code_blocks" in line]
        assert [line for line in output if "b_blocks" in line]
        assert [line for line in output if "bad_plugin.py, line" in line]


async def test_blocks_and_exits_where_api_and_worker_are_one_process(tmp_path: Path) -> None:
    port = free_port()
    dev = Command(
        tmp_path,
        *("dev", "--port", str(port), "--temporal-port", "0", "--ui-port", "0", "--data-dir", str(tmp_path / "data")),
        **{**SETTINGS, "ORCHESTRATOR_ADMIN_API_KEY": KEY, "TEMPORAL_ADDRESS": ""},
        PYTHONPATH=str(Path(__file__).parents[2]),
    )
    headers = {"Authorization": f"Bearer {KEY}"}
    await dev.start()
    try:
        await dev.ready()
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client:
            await beside_innocents(client, BLOCKING)
    finally:
        await dev.kill()
