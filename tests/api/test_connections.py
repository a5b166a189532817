"""Connections that stay open are bounded: per owner, per address, for the process; idle and ended ones close."""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from api.connections import ConnectionLimits, OpenConnections
from api.sockets import SocketLimits
from orchestrator.domain.access import Principal, Scope
from orchestrator.domain.errors import LimitExceeded, Unavailable
from orchestrator.testing import ADMIN_KEY, Engine, eventually
from tests.api.conftest import ADMIN, served
from tests.api.test_jobs import start

Make = Callable[..., FastAPI]
Issue = Callable[..., Awaitable[dict[str, str]]]
SSE = {"Accept": "text/event-stream"}
ALICE = Principal(id="alice", scopes=frozenset())
BOB = Principal(id="bob", scopes=frozenset())
ADMINISTRATOR = Principal(id="admin", scopes=frozenset({Scope.ADMIN}))


def bounded(app: FastAPI, **limits: int) -> FastAPI:
    app.state.api = replace(app.state.api, connections=OpenConnections(ConnectionLimits(**limits)))
    return app


def socket_bounds(app: FastAPI, **limits: Any) -> FastAPI:
    app.state.api = replace(app.state.api, socket_limits=SocketLimits(**limits))
    return app


def test_an_owner_has_a_number_of_connections_and_gets_them_back():
    connections = OpenConnections(ConnectionLimits(owner=2, address=1, process=100))
    first = connections.hold(ALICE)
    connections.hold(ALICE)
    connections.hold(BOB)
    with pytest.raises(LimitExceeded) as refused:
        connections.hold(ALICE)
    assert refused.value.details["allowed"] == 2
    first.release()
    first.release()
    connections.hold(ALICE)
    with pytest.raises(LimitExceeded):
        connections.hold(ALICE)


@pytest.mark.parametrize("visitor", [ALICE, ADMINISTRATOR])
def test_open_pages_of_an_owner_are_bounded_and_count_as_connections(visitor: Principal):
    connections = OpenConnections(ConnectionLimits(owner=3, pages=2, process=4))
    first = connections.hold_page(visitor)
    connections.hold_page(visitor)
    with pytest.raises(LimitExceeded) as refused:
        connections.hold_page(visitor)
    assert (refused.value.details["limit"], refused.value.details["allowed"]) == ("open_pages", 2)
    connections.hold_page(BOB)
    connections.hold(visitor)
    with pytest.raises(Unavailable):
        connections.hold(BOB)
    first.release()
    first.release()
    connections.hold_page(visitor)
    with pytest.raises(LimitExceeded):
        connections.hold_page(visitor)


def test_a_page_that_is_no_connection_any_more_counts_nowhere():
    connections = OpenConnections(ConnectionLimits(owner=1, pages=5))
    connections.hold(ALICE)
    for _ in range(6):
        with pytest.raises(LimitExceeded) as refused:
            connections.hold_page(ALICE)
        assert refused.value.details["limit"] == "open_connections"


def test_strangers_take_up_half_of_the_process_at_most():
    connections = OpenConnections(ConnectionLimits(owner=1, address=2, process=6))
    connections.hold("address:1")
    connections.hold("address:1")
    with pytest.raises(LimitExceeded):
        connections.hold("address:1")
    connections.hold("address:2")
    with pytest.raises(Unavailable):
        connections.hold("address:3")
    for _ in range(3):
        connections.hold(ADMINISTRATOR)
    with pytest.raises(Unavailable):
        connections.hold(BOB)


def test_a_connection_that_fails_inside_is_released():
    connections = OpenConnections(ConnectionLimits(owner=1))
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), connections.held(ALICE):
            raise ZeroDivisionError


async def streams_open(stack: AsyncExitStack, client: httpx2.AsyncClient, path: str, count: int) -> None:
    for _ in range(count):
        answer = await stack.enter_async_context(client.stream("GET", path, headers=SSE))
        assert answer.status_code == 200


async def test_event_streams_of_one_owner_are_bounded_on_every_surface(app_with: Make, key: Issue):
    headers = await key()
    app = bounded(app_with(), owner=3, process=100)
    async with served(app) as url, httpx2.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
        job_id = await start(client, "t_approval")
        paths = [f"/v1/jobs/{job_id}/events", "/api/dashboard/real-time"]
        async with AsyncExitStack() as stack:
            await streams_open(stack, client, paths[0], 2)
            await streams_open(stack, client, paths[1], 1)
            for path in paths:
                refused = await client.get(path, headers=SSE)
                assert refused.status_code == 429, path
                assert int(refused.headers["Retry-After"]) >= 1
            waited = await client.get(f"/v1/jobs/{job_id}", params={"wait": 30})
            assert waited.status_code == 429
            assert (await client.get(f"/v1/jobs/{job_id}")).status_code == 200
        await eventually(lambda: again(client, paths[0]), lambda status: status == 200)
        await client.post(f"/v1/jobs/{job_id}/cancel", json={})


async def again(client: httpx2.AsyncClient, path: str) -> int:
    async with client.stream("GET", path, headers=SSE) as answer:
        return answer.status_code


async def test_a_synchronous_start_that_is_one_too_many_starts_nothing(app_with: Make, key: Issue):
    headers = await key()
    app = bounded(app_with(), owner=1, process=100)
    async with served(app) as url, httpx2.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
        job_id = await start(client, "t_approval")
        async with AsyncExitStack() as stack:
            await streams_open(stack, client, f"/v1/jobs/{job_id}/events", 1)
            before = (await client.get("/v1/jobs")).json()["total"]
            refused = await client.post("/v1/workflows/t_three/run", json={"input": {}})
            assert refused.status_code == 429
            assert refused.json()["error"]["details"]["limit"] == "open_connections"
            assert (await client.get("/v1/jobs")).json()["total"] == before
        await client.post(f"/v1/jobs/{job_id}/cancel", json={})


async def test_sockets_of_strangers_are_refused_by_address_with_an_answer(app_with: Make):
    app = bounded(app_with(), address=2, process=100)
    async with served(app) as url:
        address = url.replace("http", "ws", 1)
        async with AsyncExitStack() as stack:
            for path in ("/v1/ws", "/chat/ws/c/s"):
                await stack.enter_async_context(connect(address + path, proxy=None))
            for path in ("/v1/ws", "/chat/ws/c/s", f"/ws/{uuid.uuid4()}"):
                with pytest.raises(InvalidStatus) as refused:
                    await connect(address + path, proxy=None)
                assert refused.value.response.status_code == 429
                assert int(refused.value.response.headers["Retry-After"]) >= 1


async def test_a_process_that_is_full_says_so_and_still_answers(app_with: Make):
    app = bounded(app_with(), process=2)
    async with (
        served(app) as url,
        httpx2.AsyncClient(base_url=url, headers=ADMIN, timeout=30) as client,
        connect(url.replace("http", "ws", 1) + "/v1/ws", proxy=None),
    ):
        with pytest.raises(InvalidStatus) as refused:
            await connect(url.replace("http", "ws", 1) + "/v1/ws", proxy=None)
        assert refused.value.response.status_code == 503
        assert int(refused.value.response.headers["Retry-After"]) >= 1
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/v1/jobs")).status_code == 200


async def test_a_known_client_is_no_stranger_any_more(app_with: Make, key: Issue):
    token = (await key())["Authorization"].removeprefix("Bearer ")
    app = bounded(app_with(), owner=2, address=1, process=100)
    async with served(app) as url, AsyncExitStack() as stack:
        address = url.replace("http", "ws", 1) + "/v1/ws"
        for _ in range(2):
            socket = await stack.enter_async_context(connect(address, proxy=None))
            await socket.send(json.dumps({"type": "auth", "token": token}))
            assert json.loads(await socket.recv())["type"] == "auth_ok"
        third = await stack.enter_async_context(connect(address, proxy=None))
        await third.send(json.dumps({"type": "auth", "token": token}))
        assert json.loads(await third.recv())["error"]["code"] == "rate_limit_exceeded"
        assert await code_of(third) == 1013


async def test_idle_sockets_are_closed_and_those_that_wait_for_a_job_are_not(app_with: Make):
    app = socket_bounds(app_with(), idle=0.3)
    async with served(app) as url, httpx2.AsyncClient(base_url=url, headers=ADMIN, timeout=30) as client:
        address = url.replace("http", "ws", 1)
        job_id = await start(client, "t_approval")
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        async with (
            connect(f"{address}/v1/ws", proxy=None, additional_headers=headers) as busy,
            connect(f"{address}/v1/ws", proxy=None, additional_headers=headers) as idle,
            connect(f"{address}/chat/ws/c/s", proxy=None, additional_headers=headers) as chat,
        ):
            await busy.send(json.dumps({"type": "subscribe", "channel": "job", "job_id": job_id}))
            assert [await code_of(idle), await code_of(chat)] == [4410, 4410]
            await client.post(f"/v1/jobs/{job_id}/cancel", json={})
            async with asyncio.timeout(30):
                while json.loads(await busy.recv())["type"] != "unsubscribed":
                    pass
            assert await code_of(busy) == 4410


async def test_the_socket_of_an_ended_session_closes_after_a_while(app_with: Make):
    app = socket_bounds(app_with(), linger=0.2)
    async with served(app) as url, httpx2.AsyncClient(base_url=url, timeout=30) as client:
        body = {"requirements": "Create a calculator", "workflow_type": "t_three"}
        session_id = (await client.post("/execute-workflow", json=body)).json()["session_id"]
        async with connect(f"{url.replace('http', 'ws', 1)}/ws/{session_id}", proxy=None) as socket:
            assert await code_of(socket) == 1000


async def test_a_session_socket_takes_a_number_of_frames(app_with: Make):
    app = socket_bounds(app_with(), frames_per_minute=5)
    async with served(app) as url, httpx2.AsyncClient(base_url=url, timeout=30) as client:
        body = {"requirements": "Create a calculator", "workflow_type": "t_three"}
        session_id = (await client.post("/execute-workflow", json=body)).json()["session_id"]
        async with connect(f"{url.replace('http', 'ws', 1)}/ws/{session_id}", proxy=None) as socket:
            for _ in range(6):
                await socket.send("ping")
            assert await code_of(socket) == 1008


async def test_a_revoked_key_pays_for_no_further_turn_of_a_chat(app_with: Make, running: Engine, key: Issue):
    headers = await key()
    principal = await running.services.access.authenticate(headers["Authorization"].removeprefix("Bearer "))
    app = socket_bounds(app_with(), recheck=3600)
    async with served(app) as url:
        address = url.replace("http", "ws", 1) + f"/chat/ws/c/{uuid.uuid4()}"
        async with connect(address, proxy=None, additional_headers=headers) as socket:
            await running.services.keys.revoke(str(principal.key))
            await socket.send(json.dumps({"type": "chat", "data": {"message": "Hello"}}))
            said = json.loads(await socket.recv())
            assert (said["type"], said["data"]["code"]) == ("error", "AUTHENTICATION_ERROR"), said
            assert await code_of(socket) == 4401


async def code_of(socket: Any) -> int:
    """Read to the close; its code."""
    async with asyncio.timeout(30):
        with suppress(ConnectionClosed):
            while True:
                await socket.recv()
    return int(socket.close_code)


class Endless:
    """A follower whose job does not end, which counts the waits that have ended."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended = 0

    async def until(self, *_: Any, **__: Any) -> Any:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended += 1

    until_end = until


WAITS = [
    ("GET", "/v1/jobs/{job_id}?wait=60"),
    ("POST", "/v1/agents/t_echo/execute"),
    ("POST", "/v1/workflows/t_three/run"),
]


@pytest.mark.parametrize(("method", "path"), WAITS)
async def test_a_wait_ends_with_its_client(app_with: Make, client: httpx2.AsyncClient, method: str, path: str):
    follower = Endless()
    job_id = await start(client, "t_three")
    app = app_with(follower=follower)
    async with served(app) as url, httpx2.AsyncClient(base_url=url, headers=ADMIN, timeout=30) as leaving:
        body = {"json": {"input": {}}} if method == "POST" else {}
        call = asyncio.create_task(leaving.request(method, path.format(job_id=job_id), **body))
        await follower.begun.wait()
        call.cancel()

        async def ended() -> int:
            return follower.ended

        await eventually(ended, lambda count: count == 1)


@pytest.mark.parametrize(("method", "path"), WAITS)
async def test_a_server_that_stops_answers_its_waits(
    app_with: Make, client: httpx2.AsyncClient, method: str, path: str
):
    follower = Endless()
    job_id = await start(client, "t_three")
    app = app_with(follower=follower)
    async with served(app) as url, httpx2.AsyncClient(base_url=url, headers=ADMIN, timeout=30) as waiting:
        body = {"json": {"input": {}}} if method == "POST" else {}
        call = asyncio.create_task(waiting.request(method, path.format(job_id=job_id), **body))
        await follower.begun.wait()
        app.state.api.closing.set()
        answer = await asyncio.wait_for(call, timeout=20)
    if method == "GET":
        assert (answer.status_code, answer.json()["job_id"]) == (200, job_id)
        return
    assert answer.status_code == 503
    assert answer.headers["x-should-retry"] == "false"
    assert answer.json()["error"]["details"]["job_id"].startswith(("job_", "wf_job_"))
    assert "the server stops" in answer.json()["error"]["message"]
