"""Strangers at the session surface: shut out where sessions are not public, held to little where they are."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from api.app import create_app
from api.dialects.orchestrator import mapping
from api.hardening import ApiOptions
from api.surfaces import SURFACES
from orchestrator.commandline.dev import public_sessions
from orchestrator.domain.access import Scope
from orchestrator.domain.jobs import OPEN_STATES
from orchestrator.settings import SURFACE_NAMES
from orchestrator.testing import TESTER, Engine, GivenSettings
from tests.api.conftest import ADMIN, Fixed, over, served
from tests.api.test_connections import code_of
from tests.api.test_limits import spend
from tests.ledger import ledger

STARTS = ("/execute-workflow", "/api/v1/execute-workflow", "/api/v2/execute-workflow", "/custom/execute")
BODY: dict[str, Any] = {"requirements": "Create a calculator", "workflow_type": "t_three"}
SLOW: dict[str, Any] = {**BODY, "workflow_type": "t_slow", "configuration": {"seconds": 60}}
Issue = Callable[..., Awaitable[dict[str, str]]]
Product = Callable[..., FastAPI]


@pytest.fixture
async def stranger(running: Engine, product: Product) -> AsyncIterator[Callable[[str], httpx2.AsyncClient]]:
    """Strangers at addresses, where sessions are public. Their jobs are cancelled in the end."""
    app = product(public_sessions=True)
    hosts: set[str] = set()

    def at(host: str) -> httpx2.AsyncClient:
        hosts.add(host)
        transport = httpx2.ASGITransport(app=app, client=(host, 40_000))
        return httpx2.AsyncClient(transport=transport, base_url="http://testserver")

    yield at
    slow = [job_id for host in hosts for job_id in await open_jobs(running, f"public:{host}", "t_slow")]
    for job_id in slow:  # the others end by themselves
        await running.services.controller.cancel(TESTER, job_id, reason="the test is over")


async def open_jobs(running: Engine, owner: str, definition: str | None = None) -> list[str]:
    rows, _ = await running.parts.backend.jobs.list(
        owner=owner, states=sorted(OPEN_STATES), kind=None, definition=definition, limit=100, offset=0
    )
    return [row.id for row in rows]


@ledger("M-041", "M-033")
@pytest.mark.parametrize("public", [None, False])
async def test_nobody_starts_or_looks_without_a_key_where_sessions_are_not_public(
    product: Product, key: Issue, public: bool | None
) -> None:
    app = product(public_sessions=public)
    async with over(app) as nobody, over(app, **await key()) as owner, over(app, **await key()) as another:
        for path in STARTS:
            refused = await nobody.post(path, json=BODY)
            assert (refused.status_code, refused.json()["detail"]) == (401, "Not authenticated"), path
            assert refused.headers["WWW-Authenticate"] == "Bearer"
            started = await owner.post(path, json=BODY)
            assert started.status_code == 200, started.text
        status = f"/workflow-status/{started.json()['session_id']}"
        assert (await nobody.get(status)).status_code == 401
        assert (await another.get(status)).status_code == 404
        assert (await owner.get(status)).status_code == 200
        assert (await owner.get("/v1/jobs")).json()["total"] == len(STARTS)


async def test_the_socket_of_a_session_is_its_owners_where_sessions_are_not_public(
    product: Product, key: Issue
) -> None:
    owner, another = await key(), await key()
    async with served(product(public_sessions=False)) as url:
        async with httpx2.AsyncClient(base_url=url, headers=owner) as client:
            session_id = (await client.post("/execute-workflow", json=BODY)).json()["session_id"]
        address = f"{url.replace('http', 'ws', 1)}/ws/{session_id}"
        for headers, code in ({}, 4401), (another, 4404), (await key({Scope.AGENTS_READ}), 4401):
            async with connect(address, additional_headers=headers, proxy=None) as socket:
                assert await code_of(socket) == code
        async with connect(address, additional_headers=owner, proxy=None) as socket:
            await socket.send("ping")
            async with asyncio.timeout(30):
                while await socket.recv() != "pong":
                    pass


async def test_a_key_needs_the_scopes_of_the_native_surface(product: Product, key: Issue) -> None:
    app = product()
    async with over(app, **await key({Scope.AGENTS_READ})) as client:
        for path in STARTS:
            assert (await client.post(path, json=BODY)).status_code == 403
        assert (await client.get(f"/workflow-status/{uuid.uuid4()}")).status_code == 403


async def test_a_wrong_key_is_refused_where_sessions_are_public(product: Product) -> None:
    async with over(product(public_sessions=True), Authorization="Bearer wrong") as client:
        refused = await client.post("/execute-workflow", json=BODY)
    assert (refused.status_code, refused.json()["detail"]) == (401, "Invalid authentication credentials")


async def test_one_address_holds_four_open_jobs_over_all_routes_and_others_go_on(
    running: Engine, stranger: Callable[[str], httpx2.AsyncClient]
) -> None:
    async with stranger("198.51.100.7") as client, stranger("198.51.100.8") as other:
        answers = [await client.post(path, json=SLOW) for path in (*STARTS, *STARTS[:2])]
        assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2
        assert answers[-1].json()["details"]["limit"] == "concurrent_jobs"
        assert len(await open_jobs(running, "public:198.51.100.7")) == 4
        assert (await other.post("/execute-workflow", json=BODY)).status_code == 200


@ledger("M-037")
async def test_ten_calls_a_minute_are_those_of_all_routes_together(
    stranger: Callable[[str], httpx2.AsyncClient],
) -> None:
    wrong = {**BODY, "workflow_type": "invalid"}
    async with stranger("198.51.100.9") as client:
        answers = [(await client.post(STARTS[number % 4], json=wrong)).status_code for number in range(12)]
    assert answers == [400] * 10 + [429] * 2


@pytest.mark.parametrize(
    ("hosts", "served_calls"),
    [
        (["2001:db8:1:2::1", "2001:db8:1:2:ffff::9"], 10),
        (["2001:db8:1:2::1", "2001:db8:1:3::1"], 20),
        (["198.51.100.20", "::ffff:198.51.100.20"], 10),
    ],
)
async def test_one_network_of_ipv6_is_one_client(
    stranger: Callable[[str], httpx2.AsyncClient], hosts: list[str], served_calls: int
) -> None:
    wrong = {**BODY, "workflow_type": "invalid"}
    answers = []
    for host in hosts:
        async with stranger(host) as client:
            answers += [(await client.post("/execute-workflow", json=wrong)).status_code for _ in range(10)]
    assert answers.count(400) == served_calls


async def test_strangers_are_counted_while_redis_is_away(product: Product) -> None:
    app = product(public_sessions=True, redis_url=SecretStr("redis://127.0.0.1:1/0"))
    wrong = {**BODY, "workflow_type": "invalid"}
    async with over(app) as client:
        answers = [(await client.post(STARTS[number % 4], json=wrong)).status_code for number in range(12)]
    assert answers == [400] * 10 + [429] * 2


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"configuration": {"model": "openai:gpt-5-pro"}}, "/execute-workflow"),
        ({"configuration": {"max_tokens": 1_000_000}}, "/custom/execute"),
        ({"webhook_url": "https://example.com/hook"}, "/api/v2/execute-workflow"),
    ],
)
async def test_strangers_choose_no_model_no_length_and_no_callback(
    running: Engine, stranger: Callable[[str], httpx2.AsyncClient], more: dict[str, Any], path: str
) -> None:
    async with stranger("198.51.100.11") as client:
        refused = await client.post(path, json={**BODY, **more})
    assert (refused.status_code, refused.json()["error"]) == (403, "FORBIDDEN")
    assert "public" in refused.json()["message"]
    assert await open_jobs(running, "public:198.51.100.11") == []


async def test_strangers_do_not_go_before_paying_callers(
    running: Engine, stranger: Callable[[str], httpx2.AsyncClient]
) -> None:
    async with stranger("198.51.100.12") as client:
        started = await client.post("/execute-workflow", json={**BODY, "priority": "critical"})
    job_id = mapping.job_of(started.json()["session_id"])
    handle = running.parts.backend.client.get_workflow_handle(job_id)
    info = (await handle.describe()).raw_description.workflow_execution_info
    assert info.priority.priority_key == 3
    assert (await running.job(job_id)).labels["priority"] == "critical"


async def test_the_tokens_of_a_month_hold_for_an_address(
    running: Engine, stranger: Callable[[str], httpx2.AsyncClient]
) -> None:
    async with stranger("198.51.100.13") as client:
        first = await client.post("/execute-workflow", json=BODY)
        job_id = mapping.job_of(first.json()["session_id"])
        await running.eventually(job_id, lambda job: job.state.terminal)
        await spend(running, job_id, 1_000_000)
        refused = await client.post("/custom/execute", json=BODY)
    assert (refused.status_code, refused.json()["details"]["limit"]) == (429, "monthly_tokens")


@pytest.mark.parametrize(
    ("chosen", "host", "public"),
    [
        (None, "127.0.0.1", True),
        (None, "localhost", True),
        (None, "::1", True),
        (None, "0.0.0.0", False),
        (None, "192.168.1.5", False),
        (True, "0.0.0.0", True),
        (False, "127.0.0.1", False),
    ],
)
def test_dev_has_public_sessions_on_a_loopback_address_only(chosen: bool | None, host: str, public: bool) -> None:
    assert public_sessions(GivenSettings(public_sessions=chosen), host) is public
    behind_a_proxy = GivenSettings(public_sessions=chosen, trusted_proxies="127.0.0.1")
    assert public_sessions(behind_a_proxy, host) is (chosen is True)


async def test_readiness_names_public_sessions(product: Product) -> None:
    for public in (True, False):
        async with over(product(public_sessions=public), **ADMIN) as client:
            report = (await client.get("/api/v1/orchestration/deployment/readiness")).json()
        check = next(check for check in report["checks"] if check["name"] == "public_sessions")
        assert check["passed"] is not public
        assert any("ORCHESTRATOR_PUBLIC_SESSIONS" in line for line in report["recommendations"]) is public


ONE_PATH = {
    "devora": ("GET", "/v1/jobs"),
    "orchestrator": ("GET", "/workflow-types"),
    "ai_orchestra": ("POST", "/chat/v2/chat"),
    "devskyy": ("GET", "/api/v1/orchestration/health"),
    "agentorchestra": ("GET", "/api/agents"),
    "page": ("GET", "/ui/jobs"),
}


def test_the_settings_know_every_surface() -> None:
    assert set(SURFACE_NAMES) == {*(surface.name for surface in SURFACES), "page"} == set(ONE_PATH)
    assert GivenSettings(surfaces="devora, devskyy").served_surfaces() == {"devora", "devskyy"}
    with pytest.raises(ValueError, match="unknown surface 'chat'"):
        GivenSettings(surfaces="devora, chat")


@pytest.mark.parametrize("off", sorted(ONE_PATH))
async def test_each_surface_has_a_switch(running: Engine, off: str) -> None:
    options = ApiOptions(surfaces=frozenset(ONE_PATH) - {off})
    async with over(create_app(Fixed(running.services), options=lambda: options), **ADMIN) as client:
        answers = {name: await client.request(*route, json={}) for name, route in ONE_PATH.items()}
        assert {name for name, answer in answers.items() if answer.status_code == 404} == {off}
        assert "switched off" in answers[off].text
        assert (await client.get("/healthz")).status_code == 200


async def test_a_socket_of_a_surface_that_is_off_is_no_door(running: Engine) -> None:
    options = ApiOptions(surfaces=frozenset({"devora"}))
    app = create_app(Fixed(running.services), options=lambda: options)
    async with served(app) as url:
        with pytest.raises(InvalidStatus, match="HTTP 404"):
            async with connect(f"{url.replace('http', 'ws', 1)}/ws/{uuid.uuid4()}", proxy=None):
                pass
