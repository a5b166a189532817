"""What happens when a process dies without warning: nothing that was accepted is lost, and status stays true."""

import asyncio
import signal
from pathlib import Path

import httpx2

from orchestrator.testing import eventually
from tests.e2e.flow_workflow import ITEMS
from tests.e2e.plugin import STEPS, WIDTH
from tests.e2e.processes import installation


async def test_a_worker_killed_in_the_middle_loses_nothing_and_repeats_no_finished_call(tmp_path: Path) -> None:
    async with installation(tmp_path) as running:
        answer = await running.client.post(
            "/v1/workflows/e_eighteen/run", json={"input": {"seconds": 0.4}, "async": True}
        )
        assert answer.status_code == 202, answer.text
        job_id = answer.json()["job_id"]
        await eventually(lambda: asyncio.to_thread(running.ran, "end"), lambda ended: len(ended) >= 2 * WIDTH, 60)
        await running.worker.kill()
        finished, begun = set(running.ran("end")), set(running.ran("start"))
        gone = await eventually(
            lambda: running.job(job_id), lambda job: (job["reason"] or {}).get("code") == "no_worker", 30
        )
        assert gone["status"] == "running"
        await (await running.worker.start()).ready()
        job = await eventually(lambda: running.job(job_id), lambda job: job["status"] == "completed", 120)
        starts = running.ran("start")
        recorded = {
            f"{job_id}/{step['step']}/{step['agent']}" for step in gone["steps"] if step["status"] == "completed"
        }
        assert recorded <= finished
        assert [effect for effect in recorded if starts.count(effect) != 1] == []
        assert len(set(starts)) == STEPS * WIDTH
        for step in job["steps"]:
            effect = f"{job_id}/{step['step']}/{step['agent']}"
            assert len(step["attempts"]) >= starts.count(effect)
            assert step["attempts"][-1]["status"] == "completed"
            if effect in begun - finished:
                assert step["attempts"][0]["status"] in ("timed_out", "unknown")


async def test_workflow_code_and_its_child_survive_two_killed_workers(tmp_path: Path) -> None:
    async with installation(tmp_path) as running:
        answer = await running.client.post("/v1/workflows/e_flow/run", json={"input": {"seconds": 0.4}, "async": True})
        assert answer.status_code == 202, answer.text
        job_id = answer.json()["job_id"]
        recorded: dict[str, int] = {}  # Calls that are done, with their starts so far: a call that was cut off has two.
        for ended in (3, ITEMS + 1):  # in the fan-out, and in the child
            await eventually(
                lambda: asyncio.to_thread(running.ran, "end"), lambda ends, ended=ended: len(set(ends)) >= ended, 60
            )
            await running.worker.kill()
            steps = (await running.job(job_id))["steps"]
            begun = running.ran("start")
            for step in steps:
                effect = f"{job_id}/{step['step']}[{step['key']}]/{step['agent']}"
                if step["status"] == "completed":
                    recorded.setdefault(effect, begun.count(effect))
            await (await running.worker.start()).ready()
        job = await eventually(lambda: running.job(job_id), lambda job: job["status"] == "completed", 120)
        starts = running.ran("start")
        assert len(recorded) == ITEMS
        assert {effect: starts.count(effect) for effect in recorded} == recorded
        assert len(set(starts)) == ITEMS + WIDTH
        [child] = job["children"]
        assert {effect.partition("/")[0] for effect in starts} == {job_id, child}
        assert (await running.job(child))["status"] == "completed"


async def test_an_api_killed_during_starts_leaves_one_job_per_key(tmp_path: Path) -> None:
    async with installation(tmp_path) as running:

        async def start(number: int) -> str | None:
            try:
                answer = await running.client.post(
                    "/v1/workflows/e_one/run",
                    json={"input": {"seconds": 0.01, "number": number}, "async": True},
                    headers={"Idempotency-Key": f"key-{number}"},
                )
            except httpx2.TransportError:
                return None
            return str(answer.json()["job_id"]) if answer.status_code == 202 else None

        first = [asyncio.create_task(start(number)) for number in range(40)]
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        await running.api.kill()
        before = await asyncio.gather(*first)
        await running.api.start()
        await running.up()
        after = [await start(number) for number in range(40)]
        assert all(after)
        assert len(set(after)) == 40
        assert [(a, b) for a, b in zip(before, after, strict=True) if a is not None and a != b] == []

        async def completed() -> int:
            answer = await running.client.get("/v1/jobs", params={"status": "completed", "limit": 100})
            return int(answer.json()["total"])

        assert await eventually(completed, lambda total: total >= 40, 90) == 40
        assert (await running.client.get("/v1/jobs")).json()["total"] == 40


async def test_temporal_killed_and_started_again(tmp_path: Path) -> None:
    async with installation(tmp_path) as running:
        done = await running.client.post("/v1/workflows/e_one/run", json={"input": {"seconds": 0.01}})
        assert done.json()["status"] == "completed"
        assert (await running.job(done.json()["job_id"]))["status"] == "completed"
        answer = await running.client.post("/v1/workflows/e_eighteen/run", json={"input": {}, "async": True})
        job_id = answer.json()["job_id"]
        await eventually(lambda: asyncio.to_thread(running.ran, "end"), lambda ended: len(ended) >= 2 * WIDTH, 60)
        await running.temporal.kill()
        job = f"/v1/jobs/{job_id}"
        for _ in range(2):  # the first calls notice it, the others are not made
            answers = [
                await running.client.post("/v1/workflows/e_one/run", json={"input": {}, "async": True}),
                await running.client.get(job),
                *[await running.client.post(f"{job}/{verb}", json={}) for verb in ("cancel", "pause", "resume")],
            ]
            for refused in answers:
                assert refused.status_code == 503, refused.text
                assert int(refused.headers["Retry-After"]) >= 1
                assert refused.json()["error"]["code"] == "service_unavailable"
            assert (await running.client.post("/chat/v2/chat", json={"message": "hello"})).status_code == 503
        assert running.api.text().count("temporal_away") == 1
        assert (await running.job(done.json()["job_id"]))["status"] == "completed"
        await (await running.temporal.start()).ready()
        await running.up("/readyz")  # the API looks for Temporal twice a second
        await eventually(lambda: running.job(job_id), lambda job: job["status"] == "completed", 120)


async def test_a_stopping_worker_hands_its_calls_over(tmp_path: Path) -> None:
    async with installation(tmp_path) as running:
        answer = await running.client.post("/v1/workflows/e_one/run", json={"input": {"seconds": 30}, "async": True})
        job_id = answer.json()["job_id"]
        await eventually(lambda: asyncio.to_thread(running.ran, "start"), lambda begun: len(begun) == WIDTH, 60)
        assert await running.worker.kill(signal.SIGTERM) == 0
        report = await eventually(
            lambda: running.job(job_id), lambda job: (job["reason"] or {}).get("code") == "no_worker", 30
        )
        assert report["status"] == "running"
        cancelled = await running.client.post(f"/v1/jobs/{job_id}/cancel", json={"reason": "enough"})
        assert cancelled.status_code in (200, 202), cancelled.text
        await (await running.worker.start()).ready()
        job = await eventually(lambda: running.job(job_id), lambda job: job["status"] == "cancelled", 60)
        assert job["error"]["type"] == "cancelled"
