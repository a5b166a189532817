"""Jobs that start later: at a time, or after a delay."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from orchestrator.testing import Engine

RUN = "/v1/workflows/t_three/run"


async def start(client: httpx2.AsyncClient, **more: Any) -> httpx2.Response:
    return await client.post(RUN, json={"input": {}, "async": True, **more})


async def test_a_delayed_job_says_when_it_starts_and_can_be_cancelled(client: httpx2.AsyncClient, running: Engine):
    began = datetime.now(UTC)
    answer = await start(client, delay=3600)
    assert answer.status_code == 202, answer.text
    job = (await client.get(answer.json()["links"]["self"])).json()
    assert (job["status"], job["reason"]["code"]) == ("queued", "scheduled")
    starts_at = datetime.fromisoformat(job["reason"]["next_attempt_at"])
    assert timedelta(seconds=3590) < starts_at - began < timedelta(seconds=3700)
    cancelled = await client.post(answer.json()["links"]["cancel"])
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "CANCELLED"), cancelled.text
    assert (await running.ended(job["job_id"])).calls == [] or not (await running.job(job["job_id"])).usage.total_tokens


async def test_it_starts_by_itself(client: httpx2.AsyncClient, running: Engine):
    at = datetime.now(UTC) + timedelta(seconds=1.5)
    answer = await start(client, start_at=at.isoformat())
    job = await running.ended(answer.json()["job_id"])
    assert job.state == "COMPLETED"
    assert job.started_at is not None
    assert job.started_at >= at - timedelta(seconds=0.1)


async def test_the_same_key_repeats_a_start_whose_time_has_come(client: httpx2.AsyncClient):
    key, past = {"Idempotency-Key": "delayed"}, datetime.now(UTC) - timedelta(days=1)
    body = {"input": {}, "async": True, "start_at": past.isoformat()}
    first, again = [await client.post(RUN, json=body, headers=key) for _ in range(2)]
    assert first.json()["job_id"] == again.json()["job_id"]
    other = await client.post(RUN, json={**body, "start_at": (past - timedelta(1)).isoformat()}, headers=key)
    assert other.status_code == 422


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"delay": 3600, "async": False}, "body"),
        ({"delay": 1, "start_at": "2030-01-01T00:00:00Z"}, "body"),
        ({"delay": -1}, "delay"),
        ({"delay": 31 * 86_400}, "delay"),
        ({"start_at": "2099-01-01T00:00:00Z"}, "start_at"),
        ({"start_at": "tomorrow"}, "start_at"),
    ],
)
async def test_what_cannot_be(client: httpx2.AsyncClient, more: dict[str, Any], field: str):
    answer = await start(client, **more)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["details"]["field"] == field, answer.text
