"""Saved configurations, webhooks, dashboard and health over the whole product (O)."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI
from standardwebhooks import Webhook as StandardWebhook

from api.app import create_app
from orchestrator.domain.access import ORDINARY
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.findings import Finding
from orchestrator.services.access.authentication import ADMIN as BOOTSTRAP
from orchestrator.services.access.keys import KeyRequest
from orchestrator.testing import Engine, eventually, running_engine
from tests.api.conftest import ADMIN, Fixed, over, served
from tests.api.documented import component, strict
from tests.catalogue import TEST_PLUGIN
from tests.fakes.webhook_receiver import Answer, receiving
from tests.ledger import ledger

Key = Callable[..., Awaitable[dict[str, str]]]
SECRET = "whsec_c2VjcmV0LW9mLXRoZS10ZXN0cy1vZi13ZWJob29rcw=="


def client_of(app: FastAPI, **headers: str) -> httpx2.AsyncClient:
    client = over(app, **headers)
    client.event_hooks = {"response": [strict]}
    return client


@pytest.fixture
async def user(app: FastAPI, key: Key) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(app, **await key(name="figures")) as client:
        yield client


async def made(client: httpx2.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(path, json=body)
    assert answer.status_code == 201, answer.text
    content: dict[str, Any] = answer.json()
    return content


async def executed(client: httpx2.AsyncClient, agent_id: str, **body: Any) -> dict[str, Any]:
    """An execution at its end."""
    execution_id = (await made(client, "/api/executions", agentId=agent_id, **body))["executionId"]

    async def look() -> dict[str, Any]:
        return (await client.get(f"/api/executions/{execution_id}")).json()

    return await eventually(look, lambda seen: seen["status"] not in ("PENDING", "RUNNING"))


async def names(client: httpx2.AsyncClient, **params: Any) -> list[str]:
    found = (await client.get("/api/configurations", params=params)).json()
    return [one["name"] for one in found["configurations"]]


@ledger("O-032", "O-033", "O-034", "O-035")
async def test_configurations_are_saved_and_found(user: httpx2.AsyncClient, app: FastAPI, key: Key):
    body = {"framework": "autogen", "configuration": {"role": "critic"}}
    saved = await made(user, "/api/configurations", name="Critic", **body)
    assert (saved["isTemplate"], saved["isPublic"], saved["usageCount"]) == (False, False, 0)
    assert saved["user"]["name"]
    assert "description" not in saved
    await made(user, "/api/configurations", name="Poet", description="100% RHYMES", isTemplate=True, **body)
    async with client_of(app, **await key()) as other:
        shown = f"Shown {saved['id']}"
        await made(other, "/api/configurations", name=shown, isPublic=True, **body | {"framework": "orca"})
        await made(other, "/api/configurations", name="Hidden", **body)
    assert await names(user) == ["Poet", "Critic"]
    assert await names(user, template="true") == ["Poet"]
    assert shown in await names(user, public="true")
    assert "Hidden" not in await names(user, public="true")
    assert await names(user, public="true", search=saved["id"]) == [shown]
    assert await names(user, framework="orca") == []
    assert await names(user, search="rhymes") == ["Poet"]
    assert await names(user, search="0% r") == ["Poet"]
    assert await names(user, search="%") == ["Poet"]


@ledger("O-035", "O-022")
async def test_a_configuration_is_used_by_those_that_name_it(user: httpx2.AsyncClient, running: Engine):
    saved = await made(
        user,
        "/api/configurations",
        name="House style",
        framework="crewai",
        configuration={"tone": "dry", "goal": "brevity", "maxTokens": 300, "model": "offline/drafter"},
    )
    agent = await made(
        user,
        "/api/agents",
        name="Scout",
        framework="crewai",
        configuration={"goal": "depth", "configurationId": saved["id"]},
    )
    done = await executed(user, agent["id"], configuration={"tone": "warm", "temperature": 0.1})
    await executed(user, agent["id"])
    job = await running.services.reader.get(BOOTSTRAP, done["id"])
    assert job.input["configuration"] == {"tone": "warm", "goal": "depth"}
    assert (job.config["max_tokens"], job.config["temperature"]) == (300, 0.1)
    listed = (await user.get("/api/configurations")).json()["configurations"]
    assert [one["usageCount"] for one in listed] == [2]


@ledger("O-036", "O-037", "O-038", "O-039", "O-040", "C-51", "C-52", "C-55")
async def test_webhooks_take_any_event_and_show_no_secret(user: httpx2.AsyncClient):
    events = ["execution.completed", "moon.rises"]
    url = "https://93.184.215.14/hook"
    webhook = await made(user, "/api/webhooks", url=url, events=[*events, "moon.rises"], secret=SECRET)
    assert set(webhook) == {"id", "message"}
    rows = (await user.get("/api/webhooks")).json()["webhooks"]
    assert [(row["id"], row["url"], row["events"], row["isActive"]) for row in rows] == [
        (webhook["id"], url, events, True)
    ]
    assert "secret" not in rows[0]
    for body in ({"url": url, "events": []}, {"url": "nowhere", "events": events}, {"url": url}):
        assert (await user.post("/api/webhooks", json=body)).status_code == 400


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def telling(temporal_address: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    """An engine that may call this machine."""
    folder = tmp_path_factory.mktemp("executions")
    async with running_engine(
        temporal_address, folder, [*plugins(), TEST_PLUGIN], webhook_allow_private=True
    ) as engine:
        yield engine


def plugins() -> list[Any]:
    from orchestrator.plugins import BUILT_IN

    return [BUILT_IN]


@ledger("O-007", "O-040", "C-52")
async def test_webhooks_receive_how_executions_ended(telling: Engine):
    token = (await telling.services.keys.issue(BOOTSTRAP, KeyRequest("hooks", ORDINARY))).token
    async with (
        receiving(Answer(status=200)) as receiver,
        client_of(create_app(Fixed(telling.services)), Authorization=f"Bearer {token}") as client,
    ):
        wanted = ["execution.completed", "execution.failed", "moon.rises"]
        await made(client, "/api/webhooks", url=receiver.url, events=wanted, secret=SECRET)
        agent = await made(client, "/api/agents", name="Scout", framework="miniagi")
        good = await executed(client, agent["id"])
        bad = await executed(client, agent["id"], configuration={"fallback": "none"})

        async def seen() -> int:
            return len(receiver.requests)

        await eventually(seen, lambda number: number >= 2)
        entries = [StandardWebhook(SECRET).verify(one.body, one.headers) for one in receiver.requests]
    assert sorted((one["event"], one["job_id"], one["data"]["status"]) for one in entries) == [
        ("execution.completed", good["id"], "completed"),
        ("execution.failed", bad["id"], "failed"),
    ]


@ledger("O-041", "O-042", "C-05")
async def test_the_dashboard_counts_what_the_caller_has(user: httpx2.AsyncClient):
    empty = (await user.get("/api/dashboard/metrics")).json()
    assert empty["overview"]["executions"] == {"value": 0, "change": 0.0, "trend": "up"}
    assert len(empty["charts"]["executionTrends"]) == 31
    agent = await made(user, "/api/agents", name="Scout", framework="babyagi")
    await made(user, "/api/agents", name="Idler", framework="orca", isActive=False)
    await made(user, "/api/configurations", name="Style", framework="orca", configuration={})
    good = await executed(user, agent["id"])
    bad = await executed(user, agent["id"], configuration={"fallback": "none"})

    async def look() -> dict[str, Any]:
        return (await user.get("/api/dashboard/metrics", params={"timeframe": "24h"})).json()

    answer = await eventually(look, lambda seen: seen["charts"]["performance"]["failed"] == 1)
    overview, charts = answer["overview"], answer["charts"]
    assert overview["activeAgents"] == {"value": 1, "change": 100.0, "trend": "up"}
    assert overview["frameworks"] == {"value": 2, "change": 2}
    assert overview["executions"] == {"value": 2, "change": 100.0, "trend": "up"}
    assert overview["savedConfigs"] == {"value": 1, "change": 1}
    assert sum(day["executions"] for day in charts["executionTrends"]) == 2
    assert charts["frameworkDistribution"] == [
        {"framework": "babyagi", "agents": 1, "executions": 2, "percentage": 100.0},
        {"framework": "orca", "agents": 1, "executions": 0, "percentage": 0.0},
    ]
    performance = charts["performance"]
    assert (performance["totalExecutions"], performance["successRate"]) == (2, 50.0)
    assert performance["tokensUsed"] == good["tokensUsed"]
    assert performance["avgExecutionTime"] == pytest.approx(good["duration"], abs=2)
    assert [one["id"] for one in answer["recentActivity"]] == [bad["id"], good["id"]]
    assert (await user.get("/api/dashboard/metrics", params={"timeframe": "1y"})).status_code == 400


@ledger("O-043")
async def test_the_dashboard_streams_changes(app_with: Callable[..., FastAPI], key: Key):
    headers = await key()
    async with served(app_with()) as url, httpx2.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
        agent = await made(client, "/api/agents", name="Scout", framework="autogpt")
        entries: list[tuple[str, Any]] = []
        async with asyncio.timeout(30), client.stream("GET", "/api/dashboard/real-time") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            kind = ""
            async for line in stream.aiter_lines():
                kind = line.removeprefix("event: ") if line.startswith("event: ") else kind
                if not line.startswith("data: "):
                    continue
                entries.append((kind, json.loads(line.removeprefix("data: "))))
                component("DashboardMetrics" if kind == "metrics" else "Execution", entries[-1][1])
                if len(entries) == 1:
                    await made(client, "/api/executions", agentId=agent["id"])
                if kind == "execution" and entries[-1][1]["status"] == "COMPLETED":
                    break
    assert entries[0][0] == "metrics"
    assert entries[0][1]["overview"]["executions"]["value"] == 0
    assert entries[-1][1]["agent"]["id"] == agent["id"]


@ledger("O-044", "O-045", "O-046", "C-04", "C-35", "C-45")
async def test_health_reports_every_part(app: FastAPI, running: Engine):
    async with client_of(app) as client:
        answer = await client.get("/api/health")
    body = answer.json()
    assert answer.status_code == 200
    assert {name: check["status"] for name, check in body["checks"].items()} == {
        "database": "pass",
        "redis": "warn",
        "queues": "pass",
        "email": "warn",
        "storage": "warn",
        "external_apis": "warn",
    }
    assert (body["status"], body["version"]) == ("healthy", "1.0.0")
    assert body["uptime"] > running.services.resources.read().uptime_seconds
    assert body["checks"]["database"]["responseTime"] > 0
    assert {name for name, check in body["checks"].items() if "responseTime" in check} == {"database", "queues"}
    assert all(check["message"] for check in body["checks"].values())
    assert body["metrics"] == {}
    for headers, shown in (({"Authorization": "Bearer wrong"}, False), (ADMIN, True)):
        async with over(app, **headers) as client:
            answer = await client.get("/api/health")
        assert (answer.status_code, "openJobs" in answer.json()["metrics"]) == (200, shown)


class Looked:
    """Stands in for `Readiness`."""

    def __init__(self, *down: str) -> None:
        self._down = down

    def _checks(self, *names: str) -> list[Finding]:
        return [Finding.of(name, ok=name not in self._down, message="fine", seconds=0.5) for name in names]

    async def checks(self) -> list[Finding]:
        return self._checks("temporal", "database", "worker")

    async def further(self) -> list[Finding]:
        return self._checks("cache", "models")


class WithRedis:
    """Stands in for `Deployment`."""

    def configuration(self) -> dict[str, Any]:
        return {"secrets_configured": {"redis_url": True}}


@ledger("O-044", "O-045")
@pytest.mark.parametrize(
    ("down", "status", "code", "part", "found"),
    [
        ("temporal", "unhealthy", 503, "queues", "fail"),
        ("database", "unhealthy", 503, "database", "fail"),
        ("worker", "degraded", 200, "queues", "warn"),
        ("models", "healthy", 200, "external_apis", "warn"),
        ("cache", "degraded", 200, "redis", "fail"),
    ],
)
async def test_health_follows_what_is_down(  # noqa: PLR0917 - one row of the table
    app_with: Callable[..., FastAPI], down: str, status: str, code: int, part: str, found: str
):
    async with client_of(app_with(readiness=Looked(down), deployment=WithRedis())) as client:
        answer = await client.get("/api/health")
    body = answer.json()
    assert (answer.status_code, body["status"], body["checks"][part]["status"]) == (code, status, found)
    assert body["checks"][part]["responseTime"] == 500


@ledger("O-044", "C-15")
async def test_what_is_down_is_reported_as_down():
    class Down:
        async def services(self) -> Any:
            raise Unavailable("Nothing answers yet")

        async def aclose(self) -> None: ...

    async with client_of(create_app(Down())) as client:
        health = await client.get("/api/health")
        agents = await client.get("/api/agents")
    assert (health.status_code, health.json()["checks"]["database"]["message"]) == (503, "Nothing answers yet")
    assert (agents.status_code, agents.json()["error"]) == (503, "ServiceUnavailable")
    assert agents.headers["Retry-After"] == "2"
