"""Users' own agents and their executions over the whole product (O)."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx2
import jwt
import pytest
from fastapi import FastAPI

from orchestrator.bootstrap import now
from orchestrator.domain.access import Scope
from orchestrator.domain.limits import SURFACE_LIMITS, SurfaceLimit, Window
from orchestrator.domain.user_agents import Framework
from orchestrator.services.access import ADMIN as BOOTSTRAP
from orchestrator.services.keys import KeyRequest
from orchestrator.services.limiting import RateLimiter, RequestLimits
from orchestrator.testing import Engine, eventually
from tests.api.conftest import ADMIN, over
from tests.api.documented import component, strict
from tests.ledger import ledger

Key = Callable[..., Awaitable[dict[str, str]]]
Make = Callable[..., FastAPI]


def client_of(app: FastAPI, **headers: str) -> httpx2.AsyncClient:
    """A client every answer of which is held against the document."""
    client = over(app, **headers)
    client.event_hooks = {"response": [strict]}
    return client


@pytest.fixture
async def user(app: FastAPI, key: Key) -> AsyncIterator[httpx2.AsyncClient]:
    """Somebody who has nothing yet."""
    async with client_of(app, **await key()) as client:
        yield client


async def create(client: httpx2.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post("/api/agents", json={"name": "Scout", "framework": "crewai", **body})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def start(client: httpx2.AsyncClient, agent: dict[str, Any], **body: Any) -> str:
    answer = await client.post("/api/executions", json={"agentId": agent["id"], **body})
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert (told["status"], set(told)) == ("started", {"executionId", "status", "message"})
    return told["executionId"]


async def look(client: httpx2.AsyncClient, execution_id: str) -> dict[str, Any]:
    answer = await client.get(f"/api/executions/{execution_id}")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def ended(client: httpx2.AsyncClient, execution_id: str) -> dict[str, Any]:
    return await eventually(
        lambda: look(client, execution_id), lambda seen: seen["status"] not in ("PENDING", "RUNNING")
    )


@ledger("O-009", "O-010", "O-011", "O-012", "O-013", "O-014", "O-016", "O-017", "O-047", "C-42")
async def test_an_agent_is_made_changed_and_read(user: httpx2.AsyncClient):
    made = await create(user, description="Looks around", configuration={"role": "scout"}, tags=["a", "b"])
    assert (made["status"], made["isActive"], made["totalExecutions"]) == ("IDLE", True, 0)
    assert {"lastExecutedAt", "avgExecutionTime"}.isdisjoint(made)
    changed = (await user.put(f"/api/agents/{made['id']}", json={"name": "Ranger", "isActive": False})).json()
    assert (changed["name"], changed["status"], changed["description"]) == ("Ranger", "STOPPED", "Looks around")
    assert changed["configuration"] == {"role": "scout"}
    assert changed["updatedAt"] > made["updatedAt"]
    whole = (await user.get(f"/api/agents/{made['id']}")).json()
    assert (whole["executions"], whole["_count"]) == ([], {"executions": 0})
    page = (await user.get("/api/agents")).json()
    assert [agent["id"] for agent in page["agents"]] == [made["id"]]
    assert page["pagination"] == {"page": 1, "limit": 10, "total": 1, "pages": 1}


@ledger("O-018", "O-019", "O-009", "C-71")
async def test_agents_are_filtered_and_paged(user: httpx2.AsyncClient):
    for framework in Framework:
        await create(user, framework=framework, isActive=framework != "orca")
    first = (await user.get("/api/agents")).json()
    second = (await user.get("/api/agents", params={"page": 2})).json()
    assert [len(first["agents"]), len(second["agents"]), first["pagination"]["pages"]] == [10, 1, 2]
    stopped = (await user.get("/api/agents", params={"status": "STOPPED"})).json()
    assert [agent["framework"] for agent in stopped["agents"]] == ["orca"]
    assert (await user.get("/api/agents", params={"status": "DEPLOYING"})).json()["agents"] == []
    crew = (await user.get("/api/agents", params={"framework": "crewai", "status": "IDLE"})).json()
    assert [agent["framework"] for agent in crew["agents"]] == ["crewai"]


@ledger("O-021", "O-022", "O-023", "O-025", "O-027", "O-028", "O-029", "O-030", "O-018", "C-29", "C-35", "C-70")
async def test_an_execution_runs_natively_and_says_so(user: httpx2.AsyncClient):
    agent = await create(user, description="Writes haikus", configuration={"goal": "brevity", "maxTokens": 500})
    execution_id = await start(user, agent, input={"topic": "rain"}, environment="staging", trigger="webhook")
    done = await ended(user, execution_id)
    assert (done["id"], done["status"], done["input"]) == (execution_id, "COMPLETED", {"topic": "rain"})
    assert (done["environment"], done["trigger"]) == ("staging", "webhook")
    assert done["agent"] == {"id": agent["id"], "name": "Scout", "framework": "crewai"}
    assert done["output"]["metadata"]["executed_by"] == "native"
    assert done["output"]["output"]
    assert done["tokensUsed"] > 0
    assert done["duration"] >= 0
    assert "error" not in done
    first = done["logs"][0]
    assert (first["level"], first["metadata"]["executed_by"]) == ("WARN", "native")
    assert "crewai" in first["message"]
    after = (await user.get(f"/api/agents/{agent['id']}")).json()
    assert (after["totalExecutions"], after["successfulExecutions"], after["status"]) == (1, 1, "IDLE")
    assert [one["id"] for one in after["executions"]] == [execution_id]
    assert after["avgExecutionTime"] == pytest.approx(done["duration"], abs=2)
    assert after["lastExecutedAt"]


@ledger("O-022", "O-020", "C-38")
async def test_what_is_left_out_of_an_execution_has_its_default(user: httpx2.AsyncClient):
    agent = await create(user)
    ids = [await start(user, agent) for _ in range(3)]
    for execution_id in ids:
        await ended(user, execution_id)
    page = (await user.get("/api/executions", params={"limit": 2})).json()
    assert [one["id"] for one in page["executions"]] == ids[:0:-1]
    assert page["pagination"] == {"page": 1, "limit": 2, "total": 3, "pages": 2}
    assert (page["executions"][0]["environment"], page["executions"][0]["trigger"]) == ("development", "manual")
    assert page["executions"][0]["input"] == {}
    capped = (await user.get("/api/executions", params={"limit": 5000, "page": -3})).json()
    assert (capped["pagination"]["limit"], capped["pagination"]["page"]) == (100, 1)
    done = (await user.get("/api/executions", params={"status": "COMPLETED", "agentId": agent["id"]})).json()
    assert done["pagination"]["total"] == 3
    none = (await user.get("/api/executions", params={"status": "TIMEOUT"})).json()
    assert none["pagination"] == {"page": 1, "limit": 20, "total": 0, "pages": 0}


@ledger("O-018", "O-027", "O-019")
async def test_without_a_fallback_an_execution_fails_at_once(user: httpx2.AsyncClient):
    agent = await create(user, framework="metagpt", configuration={"fallback": "none"})
    done = await ended(user, await start(user, agent))
    assert done["status"] == "FAILED"
    assert done["error"].startswith("framework_unavailable: ")
    assert [line["level"] for line in done["logs"]][0] == "WARN"
    assert "FATAL" in [line["level"] for line in done["logs"]]
    assert (await user.get(f"/api/agents/{agent['id']}")).json()["status"] == "ERROR"
    again = await ended(user, await start(user, agent, configuration={"fallback": "native"}))
    assert again["status"] == "COMPLETED"
    assert (await user.get(f"/api/agents/{agent['id']}")).json()["status"] == "IDLE"


@ledger("O-024", "O-015", "C-40", "C-41", "O-019")
async def test_an_execution_is_cancelled_and_an_agent_deleted_with_its_executions(
    user: httpx2.AsyncClient, running: Engine
):
    agent = await create(user)
    execution_id = await start(user, agent)
    await ended(user, execution_id)
    refused = await user.delete(f"/api/executions/{execution_id}")
    assert (refused.status_code, refused.json()["error"]) == (400, "BadRequest")
    assert (await user.delete(f"/api/agents/{agent['id']}")).status_code == 200
    for path in (
        f"/api/agents/{agent['id']}",
        f"/api/executions/{execution_id}",
        f"/api/executions/{execution_id}/logs",
    ):
        assert (await user.get(path)).status_code == 404, path
    assert (await user.delete(f"/api/agents/{agent['id']}")).status_code == 404
    assert (await user.get("/api/executions")).json()["pagination"]["total"] == 0
    assert (await user.get("/api/agents")).json()["pagination"]["total"] == 0


@ledger("O-025", "O-031")
async def test_logs_are_filtered_by_one_level_and_paged(user: httpx2.AsyncClient):
    execution_id = await start(user, await create(user))
    await ended(user, execution_id)
    whole = (await user.get(f"/api/executions/{execution_id}/logs")).json()
    total = whole["pagination"]["total"]
    assert whole["pagination"] == {"offset": 0, "limit": 100, "total": len(whole["logs"]), "hasMore": False}
    part = (await user.get(f"/api/executions/{execution_id}/logs", params={"offset": 1, "limit": 1})).json()
    assert part["logs"] == whole["logs"][1:2]
    assert part["pagination"] == {"offset": 1, "limit": 1, "total": total, "hasMore": total > 2}
    warned = (await user.get(f"/api/executions/{execution_id}/logs", params={"level": "WARN"})).json()
    assert [line["level"] for line in warned["logs"]] == ["WARN"]
    assert (await user.get(f"/api/executions/{execution_id}/logs", params={"level": "warn"})).status_code == 400


@ledger("O-026", "C-50")
async def test_a_stream_tells_an_execution_to_its_end_and_is_resumed(user: httpx2.AsyncClient):
    execution_id = await start(user, await create(user))
    whole = await frames(user, execution_id)
    assert whole[0][0] == "status"
    assert {kind for kind, _, _ in whole} == {"status", "log", "progress", "completed"}
    assert whole[-1][0] == "completed"
    for kind, body, _ in whole:
        component("ExecutionLog" if kind == "log" else "Execution", body)
    assert whole[-1][1]["output"]["output"]
    cursors = [cursor for _, _, cursor in whole if cursor]
    rest = await frames(user, execution_id, **{"Last-Event-ID": cursors[1]})
    assert [cursor for _, _, cursor in rest if cursor] == cursors[2:]
    assert (await user.get(f"/api/executions/{execution_id}/stream", headers={"Last-Event-ID": "x"})).status_code == 400


async def frames(client: httpx2.AsyncClient, execution_id: str, **headers: str) -> list[tuple[str, Any, str | None]]:
    found = []
    async with asyncio.timeout(30):
        answer = await client.get(f"/api/executions/{execution_id}/stream", headers=headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    for block in answer.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            found.append((fields["event"], json.loads(fields["data"]), fields.get("id")))
    return found
