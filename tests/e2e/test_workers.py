"""Workers that come and go, differ in what they know, and die: the calls of jobs go on, and none is repeated for it."""

import asyncio
import signal
from pathlib import Path

import pytest

from orchestrator.testing import eventually
from tests.e2e.plugin import WIDTH
from tests.e2e.processes import Command, Installation, installation

pytestmark = pytest.mark.timeout(600)

JOBS = 12


async def start(running: Installation, workflow: str, seconds: float, jobs: int = 1) -> list[str]:
    answers = [
        await running.client.post(f"/v1/workflows/{workflow}/run", json={"input": {"seconds": seconds}, "async": True})
        for _ in range(jobs)
    ]
    assert {answer.status_code for answer in answers} == {202}, answers[0].text
    return [answer.json()["job_id"] for answer in answers]


async def completed(running: Installation, job_id: str) -> dict:
    job: dict = await eventually(
        lambda: running.job(job_id), lambda job: job["status"] not in ("pending", "queued", "running"), 120
    )
    assert job["status"] == "completed", job
    return job


def _unserved(worker: Command) -> str:
    """The worker's last line about jobs that it cannot serve, or an empty one."""
    return next((line for line in reversed(worker.text().splitlines()) if "open_jobs_not_served" in line), "")


async def restart(worker: Command) -> None:
    assert await worker.kill(signal.SIGTERM) == 0
    await (await worker.start()).ready()


async def test_a_rolling_restart_repeats_no_call_that_ends_within_the_drain_time(tmp_path: Path) -> None:
    async with installation(tmp_path, ORCHESTRATOR_WORKER_DRAIN_SECONDS="30") as running:
        other = await running.another_worker().start()
        await other.ready()
        await running.worker.ready()
        jobs = await start(running, "e_one", 6, JOBS)
        calls = JOBS * WIDTH
        await eventually(lambda: asyncio.to_thread(running.ran, "start"), lambda begun: len(begun) == calls, 60)
        await restart(running.worker)
        jobs += await start(running, "e_one", 6, JOBS)
        await eventually(lambda: asyncio.to_thread(running.ran, "start"), lambda begun: len(begun) == 2 * calls, 60)
        await restart(other)
        for job_id in jobs:
            job = await completed(running, job_id)
            assert [len(step["attempts"]) for step in job["steps"]] == [1] * WIDTH
        assert len(set(running.ran("start"))) == len(running.ran("start")) == len(running.ran("end")) == 2 * calls


async def test_a_second_signal_ends_a_draining_worker_at_once(tmp_path: Path) -> None:
    async with installation(tmp_path, ORCHESTRATOR_WORKER_DRAIN_SECONDS="600") as running:
        await running.worker.ready()
        await start(running, "e_one", 600)
        await eventually(lambda: asyncio.to_thread(running.ran, "start"), lambda begun: len(begun) == WIDTH, 60)
        process = running.worker.process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        await eventually(lambda: asyncio.to_thread(running.worker.text), lambda text: "worker_drains" in text, 30)
        assert await running.worker.kill(signal.SIGTERM) == 130


async def test_two_code_versions_complete_every_job_and_leave_each_call_to_the_worker_that_knows_it(
    tmp_path: Path,
) -> None:
    async with installation(tmp_path) as running:
        await running.worker.ready()
        older = await running.another_worker(ORCHESTRATOR_PLUGINS="").start()
        await older.ready()
        jobs = await start(running, "e_one", 0.2, JOBS)
        for job_id in jobs:
            job = await completed(running, job_id)
            assert [[one["status"] for one in step["attempts"]] for step in job["steps"]] == [["completed"]] * WIDTH
        assert len(running.ran("start")) == JOBS * WIDTH
        # The only one left does not know the agents; its upgrade does.
        await running.worker.kill(signal.SIGTERM)
        [job_id] = await start(running, "e_one", 0.2)
        waiting = await eventually(
            lambda: running.job(job_id), lambda job: (job["reason"] or {}).get("code") == "unknown_agent", 60
        )
        assert waiting["status"] == "running"
        assert "does not know agent e_worker_" in waiting["reason"]["message"]
        await restart(older)
        # At its first start, the worker may have reported the jobs of that moment.
        await eventually(lambda: asyncio.to_thread(_unserved, older), lambda line: job_id in line, 30)
        assert "e_worker_0" in _unserved(older)
        older.environment["ORCHESTRATOR_PLUGINS"] = "tests.e2e.plugin"
        await restart(older)
        await completed(running, job_id)


async def test_an_agent_that_ends_its_worker_fails_its_own_job_and_no_other(tmp_path: Path) -> None:
    async with installation(tmp_path) as running:
        await running.worker.ready()
        [poisoned] = await start(running, "e_poisoned", 0)
        deaths = 0
        innocent = await start(running, "e_one", 0.5, 3)
        innocent += await start(running, "e_one", 6)  # Its calls are under way at each death.
        while (await running.job(poisoned))["status"] in ("pending", "queued", "running"):
            process = running.worker.process
            assert process is not None
            if process.returncode is not None:
                deaths += 1
                await running.worker.start()
            await asyncio.sleep(0.1)
        job = await running.job(poisoned)
        assert (job["status"], job["error"]["type"]) == ("failed", "worker_lost")
        assert "died or hung 5 times while it ran e_poison" in job["error"]["message"]
        assert deaths == running.ran("start").count(f"{poisoned}/step_0/e_poison") == 5
        for job_id in innocent:
            await completed(running, job_id)


async def test_a_call_of_a_dead_worker_is_not_said_to_run(tmp_path: Path) -> None:
    async with installation(tmp_path) as running:
        await running.worker.ready()
        [job_id] = await start(running, "e_usual_limits", 30)
        await eventually(lambda: asyncio.to_thread(running.ran, "start"), lambda begun: len(begun) == WIDTH, 60)
        process = running.worker.process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        try:
            job = await eventually(
                lambda: running.job(job_id), lambda job: (job["reason"] or {}).get("code") != "running", 30
            )
        finally:
            process.send_signal(signal.SIGCONT)
        assert job["reason"]["code"] == "no_sign_of_life"
        assert job["reason"]["message"].startswith("No sign of life from e_worker_")
