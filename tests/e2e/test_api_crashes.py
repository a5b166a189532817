"""The API dies without warning while callers register webhooks and start jobs that have one."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2

from orchestrator.testing import eventually
from tests.e2e.processes import Installation, installation
from tests.fakes.webhook_receiver import Answer, receiving
from tests.ledger import ledger

MANY, CALLERS = 24, 8


class Asked:
    """One request per body; the answer to each, None where the API died before it gave one. Starts have keys."""

    def __init__(self, running: Installation, path: str, bodies: list[dict[str, Any]], *, keyed: bool) -> None:
        self._running = running
        self._path = path
        self._bodies = bodies
        self._keyed = keyed
        self._answered = asyncio.Event()
        self.answers: dict[int, dict[str, Any] | None] = {}

    async def until_killed(self) -> None:
        """Ask, some at a time, and kill the API after the first few answers. One request gets no answer at least."""
        todo = iter(range(len(self._bodies)))
        async with asyncio.TaskGroup() as callers:
            for _ in range(CALLERS):
                callers.create_task(self._one_after_another(todo))
            await self._answered.wait()
            await self._running.api.kill()
        assert None in self.answers.values()
        assert self.registered

    async def _one_after_another(self, todo: Iterator[int]) -> None:
        for number in todo:
            await self.ask(number)
            if self.answers[number] is None:
                return
            if len(self.answers) >= CALLERS // 2:
                self._answered.set()

    async def ask(self, number: int) -> None:
        headers = {"Idempotency-Key": f"key-{number}"} if self._keyed else {}
        try:
            answer = await self._running.client.post(self._path, json=self._bodies[number], headers=headers)
        except httpx2.TransportError:
            self.answers[number] = None
            return
        assert answer.status_code in (201, 202), answer.text
        self.answers[number] = answer.json()

    @property
    def registered(self) -> dict[int, dict[str, Any]]:
        return {number: answer for number, answer in self.answers.items() if answer is not None}


@ledger("D-098", "D-099")
async def test_an_api_killed_while_it_registers_webhooks_keeps_each_confirmed_and_none_twice(tmp_path: Path) -> None:
    settings = {"ORCHESTRATOR_WEBHOOK_ALLOW_PRIVATE": "true", "ORCHESTRATOR_WEBHOOK_RETRY_SCHEDULE": "0"}
    async with receiving(Answer()) as receiver, installation(tmp_path, **settings) as running:
        bodies = [{"url": f"{receiver.url}/{number}", "events": ["job.completed"]} for number in range(MANY)]
        asked = Asked(running, "/v1/webhooks", bodies, keyed=False)
        await asked.until_killed()
        await running.api.start()
        await running.up("/readyz")

        listed = (await running.client.get("/v1/webhooks", params={"limit": 100})).json()["webhooks"]
        by_url = Counter(webhook["url"] for webhook in listed)
        assert set(by_url) <= {body["url"] for body in bodies}
        assert set(by_url.values()) == {1}
        ids = {webhook["id"]: webhook["url"] for webhook in listed}
        assert [one for number, one in asked.registered.items() if ids.get(one["id"]) != bodies[number]["url"]] == []

        # Whether its registration was answered or not, what is listed gets its deliveries, once.
        job = await running.client.post("/v1/workflows/e_one/run", json={"input": {"seconds": 0.01}})
        assert job.json()["status"] == "completed"
        await eventually(lambda: _paths(receiver.requests), lambda paths: len(paths) >= len(listed), 30)
        assert await _paths(receiver.requests) == Counter(f"/hook/{url.rpartition('/')[2]}" for url in by_url)


@ledger("D-103")
async def test_an_api_killed_during_starts_with_a_webhook_url_sends_each_callback_once(tmp_path: Path) -> None:
    settings = {"ORCHESTRATOR_WEBHOOK_ALLOW_PRIVATE": "true", "ORCHESTRATOR_WEBHOOK_RETRY_SCHEDULE": "0"}
    async with receiving(Answer()) as receiver, installation(tmp_path, **settings) as running:
        bodies = [
            {"input": {"seconds": 0.2, "number": number}, "async": True, "webhook_url": f"{receiver.url}/{number}"}
            for number in range(MANY)
        ]
        asked = Asked(running, "/v1/workflows/e_one/run", bodies, keyed=True)
        await asked.until_killed()
        first = asked.registered
        # The API is away: what was accepted ends and is delivered without it.
        accepted = {f"/hook/{number}" for number in first}
        await eventually(lambda: _paths(receiver.requests), lambda paths: accepted <= set(paths), 60)

        await running.api.start()
        await running.up("/readyz")
        for number in range(MANY):
            await asked.ask(number)
        again = asked.registered
        assert {number: again[number]["job_id"] for number in first} == {
            number: answer["job_id"] for number, answer in first.items()
        }
        assert len({answer["job_id"] for answer in again.values()}) == MANY

        jobs = {f"/hook/{number}": answer["job_id"] for number, answer in again.items()}
        await eventually(lambda: _paths(receiver.requests), lambda paths: set(paths) == set(jobs), 60)
        assert set((await _paths(receiver.requests)).values()) == {1}
        deliveries = [await _only_delivery(running, job_id) for job_id in jobs.values()]
        assert {row["message_id"] for row in deliveries} == {one.headers["webhook-id"] for one in receiver.requests}


async def _paths(requests: list[Any]) -> Counter[str]:
    return Counter(request.path for request in requests)


async def _only_delivery(running: Installation, job_id: str) -> dict[str, Any]:
    async def delivery() -> list[dict[str, Any]]:
        answer = await running.client.get(f"/v1/jobs/{job_id}/deliveries")
        return answer.json()["deliveries"]

    (row,) = await eventually(delivery, lambda rows: [row["state"] for row in rows] == ["delivered"], 20)
    return row
