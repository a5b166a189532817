"""The stream of an account's events: each end of its jobs once, from a cursor, in any process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from orchestrator.composition.backend import now
from orchestrator.domain.access import Scope
from orchestrator.domain.webhooks import WebhookEvent
from orchestrator.storage.account_events import AccountLog
from orchestrator.testing import Engine, eventually
from tests.api.conftest import served
from tests.api.test_events import SSE, Frame, frames
from tests.api.test_jobs import ended, start

Key = Callable[..., Awaitable[dict[str, str]]]


@asynccontextmanager
async def listening(
    client: httpx2.AsyncClient, key: dict[str, str], **params: str
) -> AsyncIterator[AsyncIterator[Frame]]:
    async with client.stream("GET", "/v1/events", params=params, headers={**SSE, **key}) as answer:
        assert answer.status_code == 200, await answer.aread()
        yield frames(answer)


async def finished(client: httpx2.AsyncClient, key: dict[str, str], workflow: str = "t_three") -> str:
    async with httpx2.AsyncClient(base_url=client.base_url, headers=key, timeout=30) as caller:
        job_id = await start(caller, workflow)
        await ended(caller, job_id)
    return job_id


async def test_the_ends_of_the_account_arrive_as_webhooks_have_them(live: httpx2.AsyncClient, key: Key):
    mine, theirs = await key(), await key()
    before = await finished(live, mine)
    async with listening(live, mine) as events:
        first = await anext(events)
        assert (first.event, first.data, first.id) == ("stream_started", {"after": "1"}, "1")
        await finished(live, theirs)
        job_id, failed = await finished(live, mine), await finished(live, mine, "t_broken")
        end, other = await anext(events), await anext(events)
    assert (end.event, end.id, end.data["event"], end.data["job_id"]) == ("job.completed", "2", "job.completed", job_id)
    assert (other.event, other.id, other.data["job_id"]) == ("job.failed", "3", failed)
    job = (await live.get(f"/v1/jobs/{job_id}")).json()
    assert end.data["timestamp"] == job["completed_at"]
    assert end.data["data"]["output"] == job["output"]
    assert (end.data["data"]["status"], end.data["data"]["error"]) == ("completed", None)
    assert end.data["data"]["metrics"]["total_tokens"] == job["metrics"]["total_tokens"]
    assert other.data["data"]["error"]["type"] == "provider_rejected"
    assert before not in {end.data["job_id"], other.data["job_id"]}, "without a cursor only what is new"


async def test_a_reader_that_comes_back_gets_each_missed_event_once(
    live: httpx2.AsyncClient, app_with: Callable[..., FastAPI], key: Key
):
    mine = await key()
    jobs = [await finished(live, mine) for _ in range(3)]
    async with served(app_with()) as url, httpx2.AsyncClient(base_url=url) as other_process:
        for seen in range(3):
            async with listening(other_process, mine, after=str(seen)) as events:
                assert (await anext(events)).id == str(seen)
                rest = [await anext(events) for _ in jobs[seen:]]
            assert [frame.data["job_id"] for frame in rest] == jobs[seen:]
            assert [frame.id for frame in rest] == [str(number) for number in range(seen + 1, 4)]


@pytest.mark.parametrize("cursor", ["nonsense", "-1", "99", "1.5", "²", "9" * 400])
async def test_a_cursor_that_the_account_cannot_have_is_refused(client: httpx2.AsyncClient, key: Key, cursor: str):
    answer = await client.get("/v1/events", headers={**await key(), "Last-Event-ID": cursor.encode()})
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"] == "after"


async def test_the_stream_needs_the_scope_of_reading_jobs(client: httpx2.AsyncClient, key: Key):
    answer = await client.get("/v1/events", headers=await key({Scope.METRICS_READ}))
    assert answer.status_code == 403
    assert (await client.get("/v1/events", headers={"Authorization": ""})).status_code == 401


async def test_the_stream_of_a_revoked_key_ends(live: httpx2.AsyncClient, key: Key):
    mine = await key()
    key_id = (await live.get("/v1/auth/me", headers=mine)).json()["key_id"]
    async with listening(live, mine) as events, asyncio.timeout(30):
        await anext(events)
        await live.delete(f"/v1/auth/api-keys/{key_id}")
        last = [frame async for frame in events]
    assert [(frame.event, frame.data["error"]["code"]) for frame in last] == [("stream_error", "authentication_failed")]


async def test_a_reader_that_leaves_leaves_nothing_behind(live: httpx2.AsyncClient, app: FastAPI, key: Key):
    mine = await key()

    async def following() -> list[Any]:
        return [task for task in asyncio.all_tasks() if "coro=<_next()" in repr(task)]

    before = len(await following())
    async with listening(live, mine) as events:
        await anext(events)
    await eventually(following, lambda tasks: len(tasks) <= before)


async def test_the_event_of_a_deleted_job_is_left_out(live: httpx2.AsyncClient, running: Engine, key: Key):
    mine = await key()
    owner = (await live.get("/v1/auth/me", headers=mine)).json()["id"]
    database = running.parts.backend.database
    gone = {"owner": owner, "event": WebhookEvent.JOB_FAILED, "cause": "job_gone", "job_id": "job_gone", "at": now()}
    await database.transaction(lambda connection: AccountLog(database).add(connection, **gone))
    kept = await finished(live, mine)
    async with listening(live, mine, after="0") as events:
        await anext(events)
        event = await anext(events)
    assert (event.data["job_id"], event.id) == (kept, "2")
