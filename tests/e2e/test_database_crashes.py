"""The index's PostgreSQL restarts while jobs are started and read: nothing accepted is lost, nobody sees a fault."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx2

from orchestrator.testing import eventually
from tests.e2e.plugin import WIDTH
from tests.e2e.processes import Installation, installation
from tests.ledger import ledger
from tests.storage.postgres import running_postgres

AGENT = "/v1/agents/product_manager/execute"
WORKFLOW = "/v1/workflows/e_one/run"
BODIES = {
    AGENT: {"input": {"task_type": "prd", "context": "A meal delivery app"}, "async": True},
    WORKFLOW: {"input": {"seconds": 0.5}, "async": True},
}


class Load:
    """Callers who start jobs and read them without a pause; `wrong` is every answer that none of them should get."""

    def __init__(self, running: Installation) -> None:
        self.client = running.client
        self.accepted: dict[str, str] = {}
        self.refused: list[str] = []
        self.read: list[int] = []
        self.wrong: list[str] = []
        self._numbers = count()

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        ended = asyncio.Event()
        async with asyncio.TaskGroup() as callers:
            for path in (AGENT, WORKFLOW):
                callers.create_task(self._start(path, ended))
            for path in ("/v1/jobs", "/v1/jobs/NEWEST", "/v1/metrics"):
                callers.create_task(self._read(path, ended))
            yield
            ended.set()

    async def _start(self, path: str, ended: asyncio.Event) -> None:
        """Job after job; one that was refused is asked for again, as the documents say."""
        while not ended.is_set():
            key = {"Idempotency-Key": f"load-{next(self._numbers)}"}
            while (answer := await self.client.post(path, json=BODIES[path], headers=key)).status_code == 503:
                self._check(answer)
                self.refused.append(path)
                await asyncio.sleep(0.1)
            self._check(answer)
            if answer.status_code == 202:
                self.accepted[answer.json()["job_id"]] = path
            await asyncio.sleep(0.15)

    async def _read(self, path: str, ended: asyncio.Event) -> None:
        while not ended.is_set():
            newest = next(reversed(self.accepted), None)
            if newest is None:
                await asyncio.sleep(0.05)
                continue
            answer = await self.client.get(path.replace("NEWEST", newest))
            self._check(answer)
            self.read.append(answer.status_code)
            await asyncio.sleep(0.05)

    def _check(self, answer: httpx2.Response) -> None:
        status = answer.status_code in (200, 202)
        later = answer.status_code == 503 and int(answer.headers.get("Retry-After", "0")) >= 1
        if not (status or later):
            self.wrong.append(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text}")


@ledger("D-095")
async def test_postgresql_restarted_under_load_costs_no_job_and_no_figure(tmp_path: Path) -> None:
    with running_postgres() as postgres:
        async with installation(tmp_path, ORCHESTRATOR_DATABASE_URL=postgres.new_database()) as running:
            alone = await running.client.post(AGENT, json=BODIES[AGENT] | {"async": False})
            tokens = alone.json()["metrics"]["total_tokens"]
            assert tokens > 0
            load = Load(running)
            async with load.going_on():
                await _grows(load.accepted, 6)
                await asyncio.to_thread(postgres.stop)
                await _grows(load.refused, 2)
                await _grows(load.read, 20)
                await asyncio.to_thread(postgres.start)
                await _grows(load.accepted, 6)
            assert load.wrong == []
            assert 503 in load.read

            jobs = {job_id: await _completed(running, job_id) for job_id in load.accepted}
            for job_id, path in load.accepted.items():
                _right(jobs[job_id], calls=1 if path == AGENT else WIDTH, tokens=tokens if path == AGENT else 0)
            await eventually(lambda: _listed(running), lambda listed: listed == {alone.json()["job_id"], *jobs}, 60)
            agent_jobs = 1 + list(load.accepted.values()).count(AGENT)
            whole = {"total_jobs": len(jobs) + 1, "failed_jobs": 0, "total_tokens": agent_jobs * tokens}
            await eventually(lambda: _summary(running), lambda summary: summary | whole == summary, 30)


async def _grows(kept: list[Any] | dict[str, Any], by: int) -> None:
    wanted = len(kept) + by

    async def now() -> int:
        return len(kept)

    await eventually(now, lambda length: length >= wanted, 40)


async def _completed(running: Installation, job_id: str) -> dict[str, Any]:
    return await eventually(lambda: running.job(job_id), lambda job: job["status"] == "completed", 60)


def _right(job: dict[str, Any], *, calls: int, tokens: int) -> None:
    assert len(job["steps"]) == calls
    for step in job["steps"]:
        assert [attempt["number"] for attempt in step["attempts"]] == list(range(1, len(step["attempts"]) + 1))
        assert step["attempts"][-1]["status"] == "completed", step
    assert job["metrics"]["total_tokens"] == tokens


async def _listed(running: Installation) -> set[str]:
    """The jobs that the index itself knows as completed."""
    answer = await running.client.get("/v1/jobs", params={"status": "completed", "limit": 100})
    return {job["job_id"] for job in answer.json()["jobs"]}


async def _summary(running: Installation) -> dict[str, Any]:
    answer = await running.client.get("/v1/metrics")
    assert answer.status_code == 200, answer.text
    return answer.json()["summary"]
