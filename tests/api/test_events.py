"""A job's events over HTTP: pages, and streams over a real connection."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from api.v1 import events as events_module
from api.v1.models import EventBody
from api.v1.rendering import event_body
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.events import JobEvent
from orchestrator.testing import Engine, eventually
from tests.api.conftest import ADMIN, over, served
from tests.api.test_jobs import UNKNOWN, ended, start, until

SSE = {"Accept": "text/event-stream"}


@dataclass
class Frame:
    event: str
    id: str | None
    data: Any


async def frames(answer: httpx2.Response) -> AsyncIterator[Frame]:
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield Frame(fields["event"], fields.get("id"), json.loads(fields["data"]))
            fields = {}


async def stream(client: httpx2.AsyncClient, job_id: str, **more: Any) -> list[Frame]:
    """Every frame to the stream's own end."""
    headers = {**SSE, **more.pop("headers", {})}
    async with client.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers, **more) as answer:
        assert answer.status_code == 200, await answer.aread()
        return [frame async for frame in frames(answer)]


async def test_a_page_holds_every_event_in_order(client: httpx2.AsyncClient):
    job_id = await start(client, "t_three")
    await ended(client, job_id)
    page = (await client.get(f"/v1/jobs/{job_id}/events")).json()
    events = page["events"]
    assert (events[0]["type"], events[-1]["type"]) == ("job_queued", "job_completed")
    assert {"job_started", "job_progress", "agent_event"} <= {event["type"] for event in events}
    assert set(events[0]) == {
        "id",
        "type",
        "name",
        "job_id",
        "status",
        "state",
        "progress",
        "current_step",
        "message",
        "timestamp",
        "data",
    }
    progress = [event["progress"] for event in events]
    assert progress == sorted(progress)
    assert (page["next"], page["has_more"]) == (None, False)
    assert events[-1]["data"]["output"] == (await client.get(f"/v1/jobs/{job_id}/output")).json()
    assert events[-1]["status"] == "completed"


async def test_pages_join_without_gap_or_overlap(client: httpx2.AsyncClient):
    job_id = await start(client, "t_three")
    await ended(client, job_id)
    whole = [event["id"] for event in (await client.get(f"/v1/jobs/{job_id}/events")).json()["events"]]
    read: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = (await client.get(f"/v1/jobs/{job_id}/events", params=query)).json()
        assert len(page["events"]) <= 2
        read += [event["id"] for event in page["events"]]
        if page["next"] is None:
            break
        query["after"] = page["next"]
    assert read == whole
    assert (await client.get(f"/v1/jobs/{job_id}/events", params={"after": "now"})).json()["events"] == []


async def test_the_page_of_an_open_job_says_where_to_go_on(client: httpx2.AsyncClient):
    job_id = await start(client, "t_approval")
    await until(client, job_id, lambda job: job["reason"] and job["reason"]["code"] == "waiting_for_approval")
    page = (await client.get(f"/v1/jobs/{job_id}/events")).json()
    assert page["next"] == page["events"][-1]["id"]
    now = (await client.get(f"/v1/jobs/{job_id}/events", params={"after": "now"})).json()
    assert now == {"events": [], "next": page["next"], "has_more": False}
    await client.post(f"/v1/jobs/{job_id}/approve")
    await ended(client, job_id)
    rest = (await client.get(f"/v1/jobs/{job_id}/events", params={"after": page["next"]})).json()["events"]
    assert rest[0]["name"] == "step.approved"
    assert rest[-1]["type"] == "job_completed"


async def test_a_stream_begins_with_the_job_and_ends_with_its_last_event(live: httpx2.AsyncClient):
    job_id = await start(live, "t_slow", {"seconds": 1})
    events = await stream(live, job_id)
    snapshot, first, last = events[0], events[1], events[-1]
    assert (snapshot.event, snapshot.id) == ("snapshot", None)
    assert snapshot.data["job_id"] == job_id
    assert snapshot.data["status"] in {"queued", "running"}
    assert (first.event, last.event) == ("job_queued", "job_completed")
    assert all(frame.id == frame.data["id"] and frame.event == frame.data["type"] for frame in events[1:])
    assert len({frame.id for frame in events[1:]}) == len(events) - 1
    assert last.data["data"]["output"]["status"] == "success"
    page = (await live.get(f"/v1/jobs/{job_id}/events")).json()["events"]
    assert [frame.data for frame in events[1:]] == page


async def test_a_stream_is_not_buffered(live: httpx2.AsyncClient):
    job_id = await start(live, "t_approval")
    async with live.stream("GET", f"/v1/jobs/{job_id}/events", headers=SSE) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Accel-Buffering"] == "no"
        reading = frames(answer)
        names = []
        async for frame in reading:  # each arrives while the job is still open
            names.append(frame.data.get("name"))
            if names[-1] == "step.waiting":
                await live.post(f"/v1/jobs/{job_id}/approve")
    assert names[-1] == "job.completed"
    assert names.index("step.waiting") < names.index("step.approved")


async def test_a_stream_of_an_ended_job_reports_all_and_ends(live: httpx2.AsyncClient):
    job_id = await start(live, "t_broken")
    await ended(live, job_id)
    events = await stream(live, job_id)
    assert (events[0].event, events[0].data["status"]) == ("snapshot", "failed")
    assert (events[1].event, events[-1].event) == ("job_queued", "job_failed")
    assert events[-1].data["data"]["error"]["type"] == "provider_rejected"


async def test_a_stream_has_the_output_of_an_ended_job_once(live: httpx2.AsyncClient):
    job_id = await start(live, "t_three")
    output = (await ended(live, job_id))["output"]
    whole = await stream(live, job_id)
    assert whole[0].data["state"] == "COMPLETED"
    assert (whole[0].data["output"], whole[-1].data["data"]["output"]) == (None, output)
    rest = await stream(live, job_id, params={"after": whole[-1].id})
    assert [frame.event for frame in rest] == ["snapshot"]
    assert rest[0].data["output"] == output, "no event follows that has it"


@pytest.mark.parametrize("state", ["open", "ended"])
async def test_a_stream_leaves_the_snapshot_out_on_request(live: httpx2.AsyncClient, state: str):
    job_id = await start(live, "t_three" if state == "ended" else "t_slow", {"seconds": 1})
    if state == "ended":
        await ended(live, job_id)
    events = await stream(live, job_id, params={"snapshot": "false"})
    assert (events[0].event, events[-1].event) == ("job_queued", "job_completed")
    assert await stream(live, job_id, params={"snapshot": "false", "after": events[-1].id}) == []


async def test_a_cancelled_job_ends_its_stream_as_failed_with_status_cancelled(live: httpx2.AsyncClient):
    # C-49
    job_id = await start(live, "t_slow")
    await until(live, job_id, lambda job: job["status"] == "running")
    reading = asyncio.create_task(stream(live, job_id))
    await live.post(f"/v1/jobs/{job_id}/cancel")
    last = (await reading)[-1]
    assert (last.event, last.data["status"]) == ("job_failed", "cancelled")


async def test_a_reader_that_comes_back_gets_exactly_what_it_missed(live: httpx2.AsyncClient):
    job_id = await start(live, "t_three")
    await ended(live, job_id)
    whole = [frame.id for frame in (await stream(live, job_id))[1:]]
    for seen in range(1, len(whole) + 1):
        for how in ({"headers": {"Last-Event-ID": whole[seen - 1]}}, {"params": {"after": whole[seen - 1]}}):
            events = await stream(live, job_id, **how)
            assert events[0].event == "snapshot"
            assert [frame.id for frame in events[1:]] == whole[seen:]


async def test_a_reader_that_leaves_in_the_middle_misses_nothing(live: httpx2.AsyncClient):
    job_id = await start(live, "t_approval")
    read: list[str] = []
    async with live.stream("GET", f"/v1/jobs/{job_id}/events", headers=SSE) as answer:
        async for frame in frames(answer):
            read += [frame.id] if frame.id else []
            if frame.event == "job_started":
                break
    await until(live, job_id, lambda job: job["reason"] and job["reason"]["code"] == "waiting_for_approval")
    await live.post(f"/v1/jobs/{job_id}/approve")
    read += [str(frame.id) for frame in (await stream(live, job_id, headers={"Last-Event-ID": read[-1]}))[1:]]
    assert read == [event["id"] for event in (await live.get(f"/v1/jobs/{job_id}/events")).json()["events"]]


async def test_after_now_skips_the_past(live: httpx2.AsyncClient):
    job_id = await start(live, "t_approval")
    await until(live, job_id, lambda job: job["reason"] and job["reason"]["code"] == "waiting_for_approval")
    entries: list[Frame] = []
    async with live.stream("GET", f"/v1/jobs/{job_id}/events", params={"after": "now"}, headers=SSE) as answer:
        async for frame in frames(answer):
            if frame.event == "snapshot":
                await live.post(f"/v1/jobs/{job_id}/approve")
            entries.append(frame)
    assert entries[0].data["reason"]["code"] == "waiting_for_approval"
    assert entries[1].data["name"] == "step.approved"
    assert entries[-1].event == "job_completed"


@pytest.mark.parametrize("accept", ["text/event-stream", "application/json"])
@pytest.mark.parametrize("cursor", ["nonsense", "run:1", "a:b:c", "x" * 5000, "run:²"])
async def test_a_bad_cursor_is_refused_before_anything_is_sent(live: httpx2.AsyncClient, accept: str, cursor: str):
    job_id = await start(live, "t_approval")
    answer = await live.get(f"/v1/jobs/{job_id}/events", params={"after": cursor}, headers={"Accept": accept})
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["error"]["details"]["field"] == "after"
    await live.post(f"/v1/jobs/{job_id}/cancel")


async def test_a_cursor_of_another_job_is_refused(live: httpx2.AsyncClient):
    one, other = await start(live, "t_three"), await start(live, "t_three")
    await ended(live, one)
    cursor = (await live.get(f"/v1/jobs/{one}/events")).json()["events"][0]["id"]
    answer = await live.get(f"/v1/jobs/{other}/events", headers={**SSE, "Last-Event-ID": cursor})
    assert answer.status_code == 400


async def test_the_stream_of_an_unknown_job_is_a_plain_404(live: httpx2.AsyncClient):
    answer = await live.get(f"/v1/jobs/{UNKNOWN}/events", headers=SSE)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x"])
async def test_a_wrong_limit_is_refused(client: httpx2.AsyncClient, limit: str):
    answer = await client.get(f"/v1/jobs/{UNKNOWN}/events", params={"limit": limit})
    assert answer.status_code == 400


def _open_requests(app: FastAPI) -> float:
    return app.state.api.registry.get_sample_value("orchestrator_http_requests_in_flight") or 0.0


async def test_a_client_that_goes_away_leaves_nothing_behind(live: httpx2.AsyncClient, app: FastAPI):
    job_id = await start(live, "t_approval")
    quiet = _open_requests(app)

    async def look() -> tuple[float, int]:
        following = [task for task in asyncio.all_tasks() if "coro=<_next()" in repr(task)]
        return _open_requests(app), len(following)

    for _ in range(3):
        async with live.stream("GET", f"/v1/jobs/{job_id}/events", headers=SSE) as answer:
            async for frame in frames(answer):
                if frame.data.get("name") == "step.waiting":
                    break  # all events are sent: the stream waits for what comes next
            await eventually(look, lambda seen: seen >= (quiet + 1, 1))
    await eventually(look, lambda seen: seen == (quiet, 0))
    await live.post(f"/v1/jobs/{job_id}/cancel")


async def test_a_server_that_stops_ends_its_streams(app_with: Callable[..., FastAPI], client: httpx2.AsyncClient):
    job_id = await start(client, "t_approval")
    app = app_with()
    entries = []
    async with (
        served(app) as url,
        httpx2.AsyncClient(base_url=url, headers=ADMIN) as live,
        live.stream("GET", f"/v1/jobs/{job_id}/events", headers=SSE) as answer,
    ):
        async for frame in frames(answer):
            entries.append(frame.event)
            app.state.api.closing.set()
    assert entries[0] == "snapshot"
    assert "job_completed" not in entries
    await client.post(f"/v1/jobs/{job_id}/cancel")


async def test_many_readers_see_the_same_order(live: httpx2.AsyncClient, running: Engine):
    job_id = await start(live, "t_slow", {"seconds": 1})
    events = await asyncio.gather(*(stream(live, job_id) for _ in range(5)))
    assert len({tuple(frame.id for frame in one) for one in events}) == 1
    assert (await running.job(job_id)).state == "COMPLETED"


async def test_a_fault_in_the_middle_is_reported_in_the_stream(app_with: Callable[..., FastAPI], running: Engine):
    class Failing:
        async def batches(self, *_: Any, deltas: bool) -> AsyncIterator[Any]:
            raise Unavailable("Temporal does not answer")
            yield

    job = await running.start("t_three", {})
    await running.ended(job.job_id)
    async with over(app_with(watcher=Failing()), **ADMIN) as client:
        events = await stream(client, job.job_id)
    assert [frame.event for frame in events] == ["snapshot", "stream_error"]
    assert events[-1].id is None
    assert events[-1].data["error"]["code"] == "service_unavailable"


async def test_readers_of_a_job_share_the_frames_of_its_events(
    app_with: Callable[..., FastAPI], running: Engine, monkeypatch: pytest.MonkeyPatch
):
    encoded: list[str] = []

    def counted(event: JobEvent) -> EventBody:
        encoded.append(event.id)
        return event_body(event)

    monkeypatch.setattr(events_module, "event_body", counted)
    job = await running.start("t_approval", {})
    async with served(app_with()) as url, httpx2.AsyncClient(base_url=url, headers=ADMIN) as client:
        await until(client, job.job_id, lambda job: job["reason"] and job["reason"]["code"] == "waiting_for_approval")
        readers = [asyncio.create_task(stream(client, job.job_id)) for _ in range(3)]
        await eventually(lambda: asyncio.sleep(0, len(encoded)), bool)
        await client.post(f"/v1/jobs/{job.job_id}/approve")
        first, *others = [[frame for frame in await reader if frame.id] for reader in readers]
    assert all(other == first for other in others)
    assert sorted(encoded) == sorted({frame.id for frame in first})
