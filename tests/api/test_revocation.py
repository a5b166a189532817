"""A key that is revoked, narrowed or expires ends what it holds open within five seconds, on every surface."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from api.health import router as probes
from api.surfaces import SURFACES
from orchestrator.domain.access import Scope
from orchestrator.services.access.authentication import ADMIN as BOOTSTRAP
from orchestrator.services.access.authentication import RECHECK_SECONDS
from orchestrator.services.access.credential_cache import LIFETIME
from orchestrator.testing import Engine
from tests.api.conftest import over, served
from tests.api.test_jobs import start

Make = Callable[..., FastAPI]
Issue = Callable[..., Awaitable[dict[str, str]]]
SLOW = {"input": {}, "async": False}


def impatient(app: FastAPI) -> FastAPI:
    """The application, which looks at credentials much more often."""
    app.state.api = replace(app.state.api, recheck=0.05)
    return app


async def holder(running: Engine, key: Issue, **more: Any) -> tuple[str, dict[str, str]]:
    """The id of a new key, and the headers that carry it."""
    headers = await key(**more)
    principal = await running.services.access.authenticate(headers["Authorization"].removeprefix("Bearer "))
    return str(principal.key), headers


def test_two_looks_in_a_row_take_less_than_five_seconds():
    assert LIFETIME + RECHECK_SECONDS < 5


def test_the_routes_of_every_surface_look_at_the_credential(app: FastAPI):
    plain = {route.path for route in probes.routes if isinstance(route, APIRoute)}
    routers = [router for surface in SURFACES for router in surface.routers]
    unwatched = {
        route.path
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute) and not hasattr(type(route), "_admit")
    }
    assert unwatched <= plain


@pytest.mark.parametrize("call", ["poll", "start"])
async def test_a_call_that_waits_ends_with_its_key(app_with: Make, running: Engine, key: Issue, call: str):
    key_id, headers = await holder(running, key)
    async with over(impatient(app_with()), **headers) as client:
        job_id = await start(client, "t_slow")
        path = f"/v1/jobs/{job_id}?wait=60"
        waiting = asyncio.create_task(
            client.get(path) if call == "poll" else client.post("/v1/workflows/t_slow/run", json=SLOW)
        )
        await asyncio.sleep(0.2)  # several looks, which find nothing
        assert not waiting.done()
        await running.services.keys.revoke(key_id)
        answer = await asyncio.wait_for(waiting, timeout=20)
    assert answer.status_code == 401, answer.text
    assert answer.json()["error"]["code"] == "authentication_failed"
    assert "job_id" not in answer.text


async def test_a_call_that_waits_ends_when_its_key_is_narrowed(app_with: Make, running: Engine, key: Issue):
    key_id, headers = await holder(running, key)
    async with over(impatient(app_with()), **headers) as client:
        job_id = await start(client, "t_slow")
        waiting = asyncio.create_task(client.get(f"/v1/jobs/{job_id}?wait=60"))
        await asyncio.sleep(0.1)
        await running.services.keys.change(BOOTSTRAP, key_id, scopes=frozenset({Scope.METRICS_READ}))
        assert (await asyncio.wait_for(waiting, timeout=20)).status_code == 401


async def test_a_call_that_waits_goes_on_with_a_key_that_is_rotated_with_an_overlap(
    app_with: Make, running: Engine, key: Issue
):
    key_id, headers = await holder(running, key)
    async with over(impatient(app_with()), **headers) as client:
        job_id = await start(client, "t_slow", {"seconds": 1})
        waiting = asyncio.create_task(client.get(f"/v1/jobs/{job_id}?wait=60&until=end"))
        await running.services.keys.rotate(BOOTSTRAP, key_id, overlap=timedelta(minutes=5))
        answer = await asyncio.wait_for(waiting, timeout=30)
    assert (answer.status_code, answer.json()["status"]) == (200, "completed")


@pytest.mark.parametrize("path", ["/v1/jobs/{}/events", "/api/dashboard/real-time"])
async def test_a_stream_ends_with_its_key(app_with: Make, running: Engine, key: Issue, path: str):
    watcher = running.services.watcher
    quick = type(watcher)(
        running.parts.backend.follower, running.parts.backend.bus, running.services.access, recheck_seconds=0.05
    )
    key_id, headers = await holder(running, key)
    app = app_with(watcher=quick)
    async with served(app) as url, httpx2.AsyncClient(base_url=url, headers=headers, timeout=20) as client:
        job_id = await start(client, "t_slow")
        accept = {"Accept": "text/event-stream"}
        async with client.stream("GET", path.format(job_id), headers=accept) as answer:
            assert answer.status_code == 200
            lines = answer.aiter_lines()
            assert await anext(lines)
            await running.services.keys.revoke(key_id)
            rest = await asyncio.wait_for(_all(lines), timeout=20)
    assert "no longer valid" in rest


async def _all(lines: AsyncIterator[str]) -> str:
    return "\n".join([line async for line in lines])
