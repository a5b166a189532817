"""Jobs as they go on over `/v1/ws`: every frame over a real connection."""

import asyncio
import itertools
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from api.sockets import SocketLimits
from orchestrator.commandline.server.http_server import ApiServer
from orchestrator.domain.access import Principal, Scope
from orchestrator.domain.deltas import Delta
from orchestrator.domain.errors import Unauthenticated, Unavailable
from orchestrator.domain.events import EventType, JobEvent
from orchestrator.domain.jobs import Job, JobState
from orchestrator.testing import ADMIN_KEY, Engine, eventually
from tests.api.conftest import ADMIN, Keys, served
from tests.api.test_jobs import UNKNOWN, ended, start, until
from tests.ledger import ledger

Make = Callable[..., FastAPI]


class Client:
    """A socket with JSON in and out."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, type: str, **fields: Any) -> None:
        await self.connection.send(json.dumps({"type": type, **fields}))

    async def next(self, seconds: float = 30) -> dict[str, Any]:
        async with asyncio.timeout(seconds):
            frame: dict[str, Any] = json.loads(await self.connection.recv())
        return frame

    async def ask(self, type: str, **fields: Any) -> dict[str, Any]:
        await self.send(type, **fields)
        return await self.next()

    async def subscribe(self, job_id: str, **more: Any) -> None:
        answer = await self.ask("subscribe", channel="job", job_id=job_id, **more)
        assert answer == {"type": "subscribed", "channel": "job", "job_id": job_id}

    async def rest(self, job_id: str) -> list[dict[str, Any]]:
        """Every frame to the end of a subscription."""
        frames = []
        while (frame := await self.next())["type"] != "unsubscribed":
            frames.append(frame)
        assert frame == {"type": "unsubscribed", "channel": "job", "job_id": job_id, "reason": "ended"}
        return frames

    async def whole(self, job_id: str, **more: Any) -> list[dict[str, Any]]:
        """Subscribe, and every frame from there to the end."""
        await self.subscribe(job_id, **more)
        return await self.rest(job_id)

    async def end(self) -> tuple[int, str]:
        """Read to the close; its code and reason."""
        with suppress(ConnectionClosed):
            while True:
                await self.next()
        return self.connection.close_code or 0, self.connection.close_reason or ""


def address(url: object) -> str:
    return str(url).rstrip("/").replace("http://", "ws://") + "/v1/ws"


@asynccontextmanager
async def bare(url: object, **more: Any) -> AsyncIterator[Client]:
    """A socket on which nothing has been said."""
    async with connect(address(url), proxy=None, **more) as connection:
        yield Client(connection)


@asynccontextmanager
async def known(url: object, token: str = ADMIN_KEY) -> AsyncIterator[Client]:
    """A socket whose client is known."""
    async with bare(url) as client:
        assert (await client.ask("auth", token=token))["type"] == "auth_ok"
        yield client


def limited(app: FastAPI, **limits: Any) -> FastAPI:
    app.state.api = replace(app.state.api, socket_limits=SocketLimits(**limits))
    return app


def events(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The durable events among frames."""
    return [frame for frame in frames if "id" in frame]


def token_of(headers: dict[str, str]) -> str:
    return headers["Authorization"].removeprefix("Bearer ")


@pytest.fixture
def url(live: httpx2.AsyncClient) -> str:
    return str(live.base_url)


async def page(client: httpx2.AsyncClient, job_id: str) -> list[dict[str, Any]]:
    answer = await client.get(f"/v1/jobs/{job_id}/events", params={"limit": 1000})
    report: list[dict[str, Any]] = answer.json()["events"]
    return report


@ledger("D-002", "D-058")
async def test_a_client_says_who_it_is_in_its_first_frame(url: str):
    async with bare(url) as client:
        answer = await client.ask("auth", token=ADMIN_KEY)
        assert answer == {"type": "auth_ok", "principal": "admin", "scopes": ["admin:*"]}
        assert (await client.ask("ping"))["type"] == "pong"


@ledger("D-058", "C-47")
async def test_a_header_at_the_handshake_stands_for_the_auth_frame(url: str):
    async with bare(url, additional_headers={**ADMIN, "X-Request-ID": "mine"}) as client:
        assert (await client.next())["type"] == "auth_ok"
        assert client.connection.response.headers["X-Request-ID"] == "mine"
        again = await client.ask("auth", token=ADMIN_KEY)
        assert (again["error"]["code"], again["error"]["request_id"]) == ("invalid_request", "mine")


@ledger("D-058", "D-095", "D-096")
@pytest.mark.parametrize("how", ["frame", "header", "no token", "other frame", "no json", "binary"])
async def test_an_unknown_client_gets_an_error_and_is_closed(url: str, how: str):
    first: dict[str, str | bytes] = {
        "frame": '{"type": "auth", "token": "dvr_sk_live_wrong"}',
        "no token": '{"type": "auth"}',
        "other frame": f'{{"type": "subscribe", "channel": "job", "job_id": "{UNKNOWN}"}}',
        "no json": "hello",
        "binary": b'{"type": "auth"}',
    }
    headers = {"Authorization": "Bearer dvr_sk_live_wrong"} if how == "header" else None
    async with bare(url, additional_headers=headers) as client:
        if how != "header":
            await client.connection.send(first[how])
        frame = await client.next()
        assert frame["type"] == "error"
        assert set(frame["error"]) == {"code", "message", "details", "request_id", "timestamp"}
        assert frame["error"]["code"] == "authentication_failed"
        assert await client.end() == (4401, "authentication failed")


@ledger("D-058")
async def test_a_client_that_stays_silent_is_closed(app_with: Make):
    async with served(limited(app_with(), auth_timeout=0.05)) as url, bare(url) as client:
        frame = await client.next()
        assert (frame["type"], frame["error"]["code"]) == ("error", "authentication_failed")
        assert await client.end() == (4408, "no auth frame in time")


@ledger("D-059", "D-060", "D-061", "D-062", "D-063", "C-46", "C-48")
async def test_a_late_subscriber_gets_the_job_from_its_first_event(live: httpx2.AsyncClient, url: str):
    job_id = await start(live, "t_three")
    await ended(live, job_id)
    async with known(url) as client:
        frames = await client.whole(job_id)
    report = events(frames)
    expected = await page(live, job_id)
    output = expected[-1]["data"].pop("output")
    assert [{key: value for key, value in one.items() if key != "output"} for one in report] == expected
    assert report[-1]["output"] == output
    assert (report[0]["type"], report[1]["type"]) == ("job_queued", "job_started")
    assert {"type", "job_id", "status", "progress", "current_step", "message", "timestamp", "id"} <= set(report[1])
    assert (report[-1]["type"], report[-1]["status"], report[-1]["progress"]) == ("job_completed", "completed", 100)
    assert report[-1]["output"] == (await live.get(f"/v1/jobs/{job_id}/output")).json()
    assert all("output" not in one for one in report[:-1])
    updates = [frame for frame in frames if frame["type"] == "job_update"]
    assert {one["job_id"] for one in updates} == {job_id}
    assert [one["progress"] for one in updates] == sorted(one["progress"] for one in updates)
    assert (updates[0]["status"], updates[-1]["status"], updates[-1]["progress"]) == ("queued", "completed", 100)
    for progress in (one for one in report if one["type"] == "job_progress"):
        before = frames[frames.index(progress) - 1]
        assert before["type"] == "job_update"
        assert {**before, "type": "job_progress"}.items() <= progress.items()


@ledger("D-002", "D-059", "D-062")
async def test_events_arrive_while_the_job_goes_on(live: httpx2.AsyncClient, url: str):
    job_id = await start(live, "t_approval")
    names = []
    async with known(url) as client:
        await client.subscribe(job_id)
        while (frame := await client.next())["type"] != "unsubscribed":
            names += [frame["name"]] if "id" in frame else []
            if names[-1:] == ["step.waiting"] and "id" in frame:
                await live.post(f"/v1/jobs/{job_id}/approve")
    assert names == [event["name"] for event in await page(live, job_id)]
    assert names.index("step.waiting") < names.index("step.approved")
    assert names[-1] == "job.completed"


@ledger("D-064", "C-49")
async def test_a_cancelled_job_ends_as_failed_with_status_cancelled_on_a_socket(live: httpx2.AsyncClient, url: str):
    job_id = await start(live, "t_slow")
    async with known(url) as client:
        await client.subscribe(job_id)
        await until(live, job_id, lambda job: job["status"] == "running")
        await live.post(f"/v1/jobs/{job_id}/cancel")
        last = (await client.rest(job_id))[-1]
    assert (last["type"], last["status"], last["name"]) == ("job_failed", "cancelled", "job.cancelled")


@ledger("D-062")
async def test_a_failed_job_says_why_on_a_socket(live: httpx2.AsyncClient, url: str):
    job_id = await start(live, "t_broken")
    async with known(url) as client:
        last = (await client.whole(job_id))[-1]
    assert (last["type"], last["status"], last["data"]["error"]["type"]) == (
        "job_failed",
        "failed",
        "provider_rejected",
    )


@ledger("C-46")
async def test_a_client_that_comes_back_gets_exactly_what_it_missed(live: httpx2.AsyncClient, url: str):
    job_id = await start(live, "t_three")
    await ended(live, job_id)
    whole = [event["id"] for event in await page(live, job_id)]
    async with known(url) as client:
        for seen in range(1, len(whole) + 1):
            report = events(await client.whole(job_id, after=whole[seen - 1]))
            assert [event["id"] for event in report] == whole[seen:]


async def test_now_skips_the_past_on_a_socket(live: httpx2.AsyncClient, url: str):
    job_id = await start(live, "t_approval")
    await until(live, job_id, lambda job: job["reason"] and job["reason"]["code"] == "waiting_for_approval")
    async with known(url) as client:
        await client.subscribe(job_id, after="now")
        await live.post(f"/v1/jobs/{job_id}/approve")
        report = events(await client.rest(job_id))
    assert (report[0]["name"], report[-1]["name"]) == ("step.approved", "job.completed")


@ledger("C-46")
async def test_a_client_goes_on_where_it_was_when_the_server_restarts(app_with: Make, client: httpx2.AsyncClient):
    job_id = await start(client, "t_approval")
    async with served(app_with()) as first, known(first) as before:
        await before.subscribe(job_id)
        read = []
        while (frame := await before.next()).get("name") != "step.waiting":
            read += [frame["id"]] if "id" in frame else []
        read.append(frame["id"])
    await client.post(f"/v1/jobs/{job_id}/approve")
    async with served(app_with()) as second, known(second) as after:
        read += [event["id"] for event in events(await after.whole(job_id, after=read[-1]))]
    assert read == [event["id"] for event in await page(client, job_id)]


async def test_one_socket_follows_several_jobs(live: httpx2.AsyncClient, url: str):
    jobs = [await start(live, "t_three") for _ in range(3)]
    entries: dict[str, list[str]] = {job_id: [] for job_id in jobs}
    open_jobs = set(jobs)
    async with known(url) as client:
        for job_id in jobs:
            await client.send("subscribe", channel="job", job_id=job_id)
        while open_jobs:
            frame = await client.next()
            if frame["type"] == "unsubscribed":
                open_jobs.remove(frame["job_id"])
            elif "id" in frame:
                entries[frame["job_id"]].append(frame["id"])
    for job_id in jobs:
        assert entries[job_id] == [event["id"] for event in await page(live, job_id)]


@ledger("D-059", "D-095")
@pytest.mark.parametrize("job_id", [UNKNOWN, "job_" + "0" * 32, "webhook_delivery", "", "x" * 5000, "job_\u0000"])
async def test_an_unknown_job_is_an_error_frame_and_the_socket_stays(url: str, job_id: str):
    async with known(url) as client:
        answer = await client.ask("subscribe", channel="job", job_id=job_id)
        assert (answer["type"], answer["error"]["code"]) == ("error", "not_found")
        assert (await client.ask("ping"))["type"] == "pong"


@ledger("D-059", "D-015")
async def test_the_job_of_another_owner_is_not_there(
    live: httpx2.AsyncClient, url: str, key: Callable[..., Awaitable[dict[str, str]]]
):
    job_id = await start(live, "t_three")
    async with known(url, token_of(await key())) as client:
        answer = await client.ask("subscribe", channel="job", job_id=job_id)
        assert (answer["job_id"], answer["error"]["code"]) == (job_id, "not_found")


@ledger("D-015", "D-095")
async def test_a_client_without_the_scope_may_not_follow_jobs(app_with: Make):
    app = app_with(access=Keys(reader={Scope.AGENTS_READ}))
    async with served(app) as url, bare(url) as client:
        answer = await client.ask("auth", token="reader")
        assert answer == {"type": "auth_ok", "principal": "reader", "scopes": ["agents:read"]}
        refused = await client.ask("subscribe", channel="job", job_id=UNKNOWN)
        assert (refused["error"]["code"], refused["error"]["details"]) == ("forbidden", {"scope": "jobs:read"})
        assert (await client.ask("ping"))["type"] == "pong"


async def test_a_second_subscription_to_a_job_is_refused(live: httpx2.AsyncClient, url: str):
    job_id = await start(live, "t_approval")
    async with known(url) as client:
        await client.subscribe(job_id, after="now")
        answer = await client.ask("subscribe", channel="job", job_id=job_id)
        while answer["type"] != "error":
            answer = await client.next()
        assert answer["error"]["code"] == "invalid_request"
        assert answer["job_id"] == job_id
        assert (await client.ask("ping"))["type"] == "pong"
    await live.post(f"/v1/jobs/{job_id}/cancel")


async def test_an_unsubscribed_job_sends_no_more_and_may_be_followed_again(live: httpx2.AsyncClient, url: str):
    job_id = await start(live, "t_approval")
    await until(live, job_id, lambda job: job["reason"] and job["reason"]["code"] == "waiting_for_approval")
    async with known(url) as client:
        await client.subscribe(job_id, after="now")
        answer = await client.ask("unsubscribe", channel="job", job_id=job_id)
        assert answer == {"type": "unsubscribed", "channel": "job", "job_id": job_id, "reason": "requested"}
        await live.post(f"/v1/jobs/{job_id}/approve")
        await ended(live, job_id)
        assert (await client.ask("ping"))["type"] == "pong"
        assert events(await client.whole(job_id))[-1]["type"] == "job_completed"


async def test_a_socket_has_a_number_of_subscriptions(app_with: Make, client: httpx2.AsyncClient):
    jobs = [await start(client, "t_approval") for _ in range(3)]
    async with served(limited(app_with(), subscriptions=2)) as url, known(url) as one:
        for job_id in jobs[:2]:
            await until(client, job_id, lambda job: job["reason"] and job["reason"]["code"] == "waiting_for_approval")
            await one.subscribe(job_id, after="now")
        refused = await one.ask("subscribe", channel="job", job_id=jobs[2])
        assert refused["error"]["code"] == "invalid_request"
        await one.ask("unsubscribe", channel="job", job_id=jobs[0])
        await one.subscribe(jobs[2])
    for job_id in jobs:
        await client.post(f"/v1/jobs/{job_id}/cancel")


BAD: dict[str, tuple[str | bytes, str]] = {
    "no json": ("{", "frame"),
    "empty": ("", "frame"),
    "a list": ("[]", "frame"),
    "a number": ("1", "frame"),
    "null": ("null", "frame"),
    "deep": ("[" * 5000, "frame"),
    "binary": (b'{"type": "ping"}', "frame"),
    "large": (json.dumps({"type": "ping", "pad": "x" * 70_000}), "frame"),
    "no type": ('{"token": "x"}', "type"),
    "unknown type": ('{"type": "shout"}', "type"),
    "type of another kind": ('{"type": 7}', "type"),
    "unknown field": ('{"type": "ping", "extra": 1}', "extra"),
    "no job": ('{"type": "subscribe", "channel": "job"}', "job_id"),
    "no channel": (f'{{"type": "subscribe", "job_id": "{UNKNOWN}"}}', "channel"),
    "other channel": (f'{{"type": "subscribe", "channel": "agent", "job_id": "{UNKNOWN}"}}', "channel"),
    "job of another kind": ('{"type": "subscribe", "channel": "job", "job_id": 7}', "job_id"),
    "unsubscribe from nothing": ('{"type": "unsubscribe", "channel": "job"}', "job_id"),
}


@ledger("D-059", "D-095", "D-096")
@pytest.mark.parametrize("name", BAD)
async def test_a_bad_frame_is_refused_and_the_socket_stays(url: str, name: str):
    raw, field = BAD[name]
    async with known(url) as client:
        await client.connection.send(raw)
        answer = await client.next()
        assert (answer["type"], answer["error"]["code"]) == ("error", "invalid_request")
        assert answer["error"]["details"]["field"] == field
        assert answer["error"]["request_id"].startswith("req_")
        assert (await client.ask("ping"))["type"] == "pong"


async def test_a_bad_cursor_is_refused_and_the_socket_stays(live: httpx2.AsyncClient, url: str):
    job_id = await start(live, "t_three")
    await ended(live, job_id)
    async with known(url) as client:
        for cursor in ("nonsense", "run:1", "x" * 5000):
            answer = await client.ask("subscribe", channel="job", job_id=job_id, after=cursor)
            assert (answer["error"]["code"], answer["error"]["details"]["field"]) == ("invalid_request", "after")
        await client.whole(job_id)


async def test_too_many_bad_frames_end_the_socket(app_with: Make):
    async with served(limited(app_with(), bad_frames=3)) as url, known(url) as client:
        for _ in range(3):
            assert (await client.ask("shout"))["error"]["code"] == "invalid_request"
        assert await client.end() == (4400, "too many bad frames")


@ledger("D-095")
async def test_too_many_frames_a_minute_are_dropped(app_with: Make):
    async with served(limited(app_with(), frames_per_minute=3)) as url, known(url) as client:
        answers = [await client.ask("ping") for _ in range(5)]
        assert [one["type"] for one in answers] == ["pong"] * 3 + ["error"] * 2
        assert answers[-1]["error"]["code"] == "rate_limit_exceeded"


@ledger("D-010")
async def test_a_key_that_is_revoked_ends_its_sockets(
    app_with: Make, running: Engine, key: Callable[..., Awaitable[dict[str, str]]]
):
    token = token_of(await key(name="short-lived"))
    async with served(limited(app_with(), recheck=0.05)) as url, bare(url) as client:
        principal = await running.services.access.authenticate(token)
        await client.ask("auth", token=token)
        await running.services.keys.revoke(str(principal.key))
        frame = await client.next()
        assert (frame["type"], frame["error"]["code"]) == ("error", "authentication_failed")
        assert await client.end() == (4401, "no longer authenticated")


@ledger("D-010")
async def test_a_stream_whose_reader_is_no_longer_let_in_ends_the_socket(app_with: Make, running: Engine):
    class Revoked:
        async def watch(self, *_: Any, deltas: bool) -> AsyncIterator[Any]:
            raise Unauthenticated("The API key is no longer valid")
            yield

    job = await running.run("t_three", {})
    async with served(app_with(watcher=Revoked())) as url, known(url) as client:
        await client.subscribe(job.id)
        assert (await client.next())["error"]["code"] == "authentication_failed"
        assert await client.end() == (4401, "no longer authenticated")


@ledger("D-095")
async def test_a_missing_service_is_reported_and_the_client_comes_back_later(app_with: Make):
    class Away:
        def recognises(self, _: str) -> bool:
            return False

        async def authenticate(self, _: str | None) -> None:
            raise Unavailable("The index does not answer")

    async with served(app_with(access=Away())) as url, bare(url) as client:
        frame = await client.ask("auth", token="any")
        assert frame["error"]["code"] == "service_unavailable"
        assert await client.end() == (1013, "try again later")


async def test_a_fault_in_the_middle_is_reported_on_the_socket_which_stays(app_with: Make, running: Engine):
    class Failing:
        async def watch(self, *_: Any, deltas: bool) -> AsyncIterator[Any]:
            raise Unavailable("Temporal does not answer")
            yield

    job = await running.run("t_three", {})
    async with served(app_with(watcher=Failing())) as url, known(url) as client:
        await client.subscribe(job.id)
        fault, end = await client.next(), await client.next()
        assert (fault["type"], fault["job_id"]) == ("error", job.id)
        assert fault["error"]["code"] == "service_unavailable"
        assert end == {"type": "unsubscribed", "channel": "job", "job_id": job.id, "reason": "error"}
        assert (await client.ask("ping"))["type"] == "pong"


async def test_a_fault_of_ours_ends_the_socket_and_shows_nothing_of_itself(app_with: Make, running: Engine):
    class Broken:
        async def past(self, *_: Any) -> None:
            raise ZeroDivisionError("secret")

    app = app_with(follower=Broken())
    async with served(app) as url, known(url) as client:
        await client.send("subscribe", channel="job", job_id=UNKNOWN)
        assert await client.end() == (1011, "internal error")
    assert closes(app, 1011) == 1


async def test_a_server_that_stops_ends_its_sockets(app_with: Make, client: httpx2.AsyncClient):
    job_id = await start(client, "t_approval")
    app = app_with()
    async with served(app) as url, known(url) as following, known(url) as idle, bare(url) as unknown:
        await following.subscribe(job_id)
        app.state.api.closing.set()
        for one in (following, idle, unknown):
            assert await one.end() == (1012, "service restart")
    assert (closes(app, 1012), connections(app)) == (3, 0)
    await client.post(f"/v1/jobs/{job_id}/cancel")


def connections(app: FastAPI) -> float:
    return app.state.api.registry.get_sample_value("websocket_connections") or 0.0


def closes(app: FastAPI, code: int) -> float:
    return app.state.api.registry.get_sample_value("orchestrator_websocket_closes_total", {"code": str(code)}) or 0.0


def socket_tasks() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("socket ")]


@ledger("A-029", "D-002")
async def test_a_client_that_goes_away_leaves_no_task_behind(app_with: Make, client: httpx2.AsyncClient):
    job_id = await start(client, "t_approval")
    app = app_with()
    quiet = len(socket_tasks())

    async def look() -> tuple[float, int]:
        return connections(app), len(socket_tasks()) - quiet

    async with served(app) as url:
        for leave in ("close", "drop"):
            async with known(url) as one:
                await one.subscribe(job_id)
                assert await look() == (1, 5)
                if leave == "drop":
                    one.connection.transport.abort()
            await eventually(look, lambda seen: seen == (0, 0))
        assert "websocket_connections 0.0" in (await metrics_text(url))
    assert closes(app, 1000) == 1
    await client.post(f"/v1/jobs/{job_id}/cancel")


async def metrics_text(url: str) -> str:
    async with httpx2.AsyncClient(base_url=url, headers=ADMIN) as http:
        return (await http.get("/metrics")).text


@ledger("C-46", "D-002")
async def test_a_hundred_sockets_on_one_server_all_get_every_event(live: httpx2.AsyncClient, url: str):
    jobs = [await start(live, "t_slow", {"seconds": 0.5}) for _ in range(5)]

    async def read(number: int) -> tuple[str, list[str]]:
        job_id = jobs[number % len(jobs)]
        async with known(url) as client:
            return job_id, [event["id"] for event in events(await client.whole(job_id))]

    report = await asyncio.gather(*(read(number) for number in range(100)))
    for job_id in jobs:
        whole = [event["id"] for event in await page(live, job_id)]
        assert [ids for name, ids in report if name == job_id] == [whole] * 20


@ledger("D-061")
async def test_sockets_on_one_job_share_the_frame_of_its_completion(
    app_with: Make, live: httpx2.AsyncClient, running: Engine
):
    class Counting:
        """Answers once it is let, so that every socket asks while the first frame is in the making."""

        def __init__(self) -> None:
            self.asked = 0
            self.let = asyncio.Event()

        async def get(self, principal: Principal, job_id: str) -> Job:
            self.asked += 1
            await self.let.wait()
            return await running.services.reader.get(principal, job_id)

    job, reader = await running.run("t_three", {}), Counting()
    async with served(app_with(reader=reader)) as url, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(known(url)) for _ in range(10)]
        for client in clients:
            await client.subscribe(job.id)
            while (await client.next())["status"] != "completed":
                pass
        reader.let.set()
        last = [(await client.rest(job.id))[-1] for client in clients]
    assert reader.asked == 1
    assert last == [last[0]] * 10
    assert "output" not in last[0]["data"]
    assert last[0]["output"] == (await live.get(f"/v1/jobs/{job.id}")).json()["output"]


class Talkative:
    """A watcher of a job that sends more than a client reads, unless `count` ends it; knows its open streams."""

    def __init__(self, message: str, *, deltas: int = 0, count: int | None = None) -> None:
        self.open = 0
        self._message = message
        self._deltas = deltas
        self._count = count

    async def past(self, *_: Any) -> list[JobEvent]:
        return []

    async def watch(
        self, principal: Principal, job_id: str, after: str | None, *, deltas: bool
    ) -> AsyncIterator[JobEvent | Delta]:
        self.open += 1
        try:
            for index in range(self._deltas if deltas else 0):
                yield Delta(job_id=job_id, step="a", agent="t_echo", attempt=1, index=index, text=self._message)
            for number in itertools.islice(itertools.count(1), self._count):
                yield JobEvent(
                    id=f"run:{number}",
                    type=EventType.AGENT_EVENT,
                    name="agent.scheduled",
                    job_id=job_id,
                    state=JobState.RUNNING,
                    progress=0,
                    message=self._message,
                    timestamp=datetime.now(UTC),
                )
        finally:
            self.open -= 1


@ledger("C-46")
async def test_a_client_that_does_not_read_is_closed_and_can_go_on_after_what_it_read(app_with: Make):
    watcher = Talkative("x" * 200_000)
    app = limited(app_with(follower=watcher, watcher=watcher), patience=0.2, grace=30)

    async def streams() -> int:
        return watcher.open

    async with served(app) as url, bare(url, max_queue=1, compression=None) as client:
        await client.ask("auth", token=ADMIN_KEY)
        await client.subscribe(UNKNOWN)
        await eventually(streams, lambda seen: seen == 1)
        await eventually(streams, lambda seen: seen == 0)
        frames = []
        while (frame := await client.next())["type"] != "error":
            frames.append(frame)
        assert frame["error"]["code"] == "rate_limit_exceeded"
        assert await client.end() == (4429, "client reads too slowly")
    read = [event["id"] for event in events(frames)]
    assert read == [f"run:{number}" for number in range(1, len(read) + 1)]
    assert closes(app, 4429) == 1


async def test_a_client_that_never_reads_again_is_given_up(app_with: Make):
    watcher = Talkative("x" * 200_000)
    app = limited(app_with(follower=watcher, watcher=watcher), patience=0.1, grace=0.1)

    async def open_sockets() -> float:
        return connections(app)

    async with served(app) as url, bare(url, max_queue=1, compression=None) as client:
        await client.ask("auth", token=ADMIN_KEY)
        await client.subscribe(UNKNOWN)
        await eventually(open_sockets, lambda seen: seen == 0)
        assert (closes(app, 4429), watcher.open) == (1, 0)
        client.connection.transport.abort()


@ledger("D-062")
@pytest.mark.parametrize("wanted", [True, False])
async def test_the_text_of_a_running_agent_is_sent_unless_it_is_not_wanted(app_with: Make, wanted: bool):
    watcher = Talkative("hello", deltas=2, count=1)
    async with served(app_with(follower=watcher, watcher=watcher)) as url, known(url) as client:
        await client.subscribe(UNKNOWN, deltas=wanted)
        if wanted:
            for index in range(2):
                piece = await client.next()
                assert (piece["type"], piece["name"], piece["job_id"]) == ("agent_event", "agent.delta", UNKNOWN)
                assert (piece["data"]["index"], piece["data"]["text"]) == (index, "hello")
                assert "id" not in piece
        assert (await client.next())["type"] == "job_update"
        assert (await client.next())["id"] == "run:1"


@ledger("D-062")
async def test_text_that_an_agent_hands_out_reaches_the_socket(live: httpx2.AsyncClient, url: str, running: Engine):
    job_id = await start(live, "t_approval")
    piece = Delta(job_id=job_id, step="b", agent="t_echo", attempt=1, index=0, text="Once upon")
    async with known(url) as client:
        await client.subscribe(job_id)
        while (frame := await client.next()).get("name") != "step.waiting" or "id" not in frame:
            pass
        running.parts.backend.bus.publish(piece)
        frame = await client.next()
    assert (frame["name"], frame["current_step"], frame["data"]["text"]) == ("agent.delta", "b", "Once upon")
    await live.post(f"/v1/jobs/{job_id}/cancel")


async def test_the_products_own_server_keeps_the_socket_of_a_large_frame_and_ends_all_when_it_stops(app_with: Make):
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    stop = asyncio.Event()
    serving = asyncio.create_task(ApiServer(app_with(), listener, keep_alive=75).run_until(stop))
    async with known(f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
        answer = await client.ask("ping", pad="x" * 100_000)
        assert (answer["type"], answer["error"]["code"]) == ("error", "invalid_request")
        assert (await client.ask("ping"))["type"] == "pong"
        stop.set()
        assert (await client.end())[0] == 1012
    await serving


@ledger("C-46", "D-002")
async def test_fifty_clients_that_are_cut_off_lose_nothing(app_with: Make, client: httpx2.AsyncClient):
    jobs = [await start(client, "t_approval") for _ in range(5)]
    for job_id in jobs:
        await until(client, job_id, lambda job: job["reason"] and job["reason"]["code"] == "waiting_for_approval")
    waiting = asyncio.Semaphore(0)
    known_so_far = min([len(await page(client, job_id)) for job_id in jobs])

    async def until_cut_off(url: str, number: int) -> list[str]:
        """Reads some of the past, each client another part of it, and then whatever comes until the server is gone."""
        read: list[str] = []
        async with known(url) as one:
            await one.subscribe(jobs[number % 5])
            with suppress(ConnectionClosed):
                while True:
                    frame = await one.next()
                    if "id" not in frame:
                        continue
                    read.append(frame["id"])
                    if len(read) == number % known_so_far + 1:
                        waiting.release()
                        if number % 2:
                            one.connection.transport.abort()
                            break  # the client has lost what it has not read, although it may have arrived
        return read

    async def after_that(url: str, number: int, read: list[str]) -> list[str]:
        async with known(url) as one:
            report = await one.whole(jobs[number % 5], after=read[-1])
        return read + [event["id"] for event in events(report)]

    async with served(app_with()) as first:
        readers = [asyncio.create_task(until_cut_off(first, number)) for number in range(50)]
        for _ in readers:
            await waiting.acquire()
    cut = await asyncio.gather(*readers)
    for job_id in jobs:
        await client.post(f"/v1/jobs/{job_id}/approve")
    async with served(app_with()) as second:
        whole = await asyncio.gather(*(after_that(second, number, cut[number]) for number in range(50)))
    for number, ids in enumerate(whole):
        assert ids == [event["id"] for event in await page(client, jobs[number % 5])]
    assert len({len(read) for read in cut}) > 1
