"""Users' own agents and their executions over the whole product (O)."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import httpx2
import jwt
import pytest
from fastapi import FastAPI

from orchestrator.composition.backend import new_id, now
from orchestrator.domain.access import ORDINARY, KeyForm, Scope
from orchestrator.domain.agents import Agent
from orchestrator.domain.limits import SURFACE_LIMITS, SurfaceLimit, Tier, Window
from orchestrator.domain.user_agents import Framework
from orchestrator.services.access.authentication import ADMIN as BOOTSTRAP
from orchestrator.services.access.keys import KeyRequest
from orchestrator.services.access.rate_limits import RateLimiter, RequestLimits
from orchestrator.services.jobs.start import JobStarter
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
    content = answer.json()
    assert (content["status"], set(content)) == ("started", {"executionId", "status", "message"})
    return content["executionId"]


async def look(client: httpx2.AsyncClient, execution_id: str) -> dict[str, Any]:
    answer = await client.get(f"/api/executions/{execution_id}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def ended(client: httpx2.AsyncClient, execution_id: str) -> dict[str, Any]:
    return await eventually(
        lambda: look(client, execution_id), lambda seen: seen["status"] not in ("PENDING", "RUNNING")
    )


@ledger("O-009", "O-010", "O-011", "O-012", "O-013", "O-014", "O-016", "O-017", "O-047", "C-42", "C-37", "C-39")
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
async def test_what_an_owner_keeps_has_a_size_and_a_number(slow_user: httpx2.AsyncClient):
    large = {"name": "Large", "framework": "crewai", "configuration": {"text": "x" * 65_536}}
    for path in ("/api/agents", "/api/configurations"):
        refused = await slow_user.post(path, json=large)
        assert (refused.status_code, refused.json()["error"]) == (400, "BadRequest")
        assert refused.json()["details"]["limit"] == "row_bytes"
        assert refused.json()["details"]["allowed"] == 65_536
        for _ in range(10):
            made = await slow_user.post(path, json={**large, "configuration": {}})
            assert made.status_code == 201
        refused = await slow_user.post(path, json={**large, "configuration": {}})
        report = refused.json()["details"]
        assert (refused.status_code, report["allowed"], report["used"]) == (400, 10, 10)
        assert report["limit"] == path.removeprefix("/api/")
    agent = (await slow_user.get("/api/agents")).json()["agents"][0]
    grown = await slow_user.put(f"/api/agents/{agent['id']}", json={"description": "x" * 65_536})
    assert (grown.status_code, grown.json()["details"]["limit"]) == (400, "row_bytes")
    many = {"name": "Tags", "framework": "crewai", "tags": ["t"] * 51}
    assert (await slow_user.post("/api/agents", json=many)).status_code == 400


@pytest.mark.parametrize(
    "change", [{"secret": "s" * 257}, {"events": ["e"] * 21}, {"events": ["e" * 101]}, {"secret": ""}, {"events": []}]
)
async def test_webhooks_have_the_same_bounds_on_every_surface(app: FastAPI, key: Key, change: dict[str, Any]):
    wanted = {"url": "https://example.com/hook", "events": ["job.completed"], "secret": "s" * 256}
    async with over(app, **await key()) as client:
        for path in ("/api/webhooks", "/v1/webhooks", "/chat/v2/webhooks"):
            refused = await client.post(path, json={**wanted, **change})
            assert refused.status_code in (400, 422), (path, refused.text)
        assert (await client.get("/api/webhooks")).json() == {"webhooks": []}


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
async def test_an_execution_runs_natively_and_says_so(user: httpx2.AsyncClient, running: Engine):
    agent = await create(user, description="Writes haikus", configuration={"goal": "brevity", "maxTokens": 500})
    execution_id = await start(user, agent, input={"topic": "rain"}, environment="staging", trigger="webhook")
    done = await ended(user, execution_id)
    assert (done["id"], done["status"], done["input"]) == (execution_id, "COMPLETED", {"topic": "rain"})
    assert (done["environment"], done["trigger"]) == ("staging", "webhook")
    assert done["agent"] == {"id": agent["id"], "name": "Scout", "framework": "crewai"}
    assert done["output"]["metadata"]["executed_by"] == "native"
    assert done["output"]["output"]
    assert (await running.services.reader.get(BOOTSTRAP, execution_id)).name == "Scout"
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
    assert {"output", "tokensUsed", "cost"}.isdisjoint(done)
    assert done["logs"][0]["level"] == "WARN"
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
async def test_a_stream_follows_an_execution_to_its_end_and_is_resumed(user: httpx2.AsyncClient):
    execution_id = await start(user, await create(user))
    whole = await frames(user, execution_id)
    assert (whole[0][0], whole[0][1]["status"]) == ("status", "PENDING")
    assert {"output", "startedAt", "completedAt", "tokensUsed"}.isdisjoint(whole[0][1])
    assert [body["status"] for kind, body, _ in whole if kind == "status"] == ["PENDING", "RUNNING"]
    assert {kind for kind, _, _ in whole} == {"status", "log", "progress", "completed"}
    assert whole[-1][0] == "completed"
    for kind, body, _ in whole:
        component("ExecutionLog" if kind == "log" else "Execution", body)
    assert whole[-1][1]["output"]["output"]
    cursors = [cursor for _, _, cursor in whole if cursor]
    rest = await frames(user, execution_id, **{"Last-Event-ID": cursors[1]})
    assert [cursor for _, _, cursor in rest if cursor] == cursors[2:]
    assert (rest[0][0], rest[0][1]["status"]) == ("status", "RUNNING")
    assert "WARN" not in [body.get("level") for _, body, _ in rest]
    over_again = await frames(user, execution_id, **{"Last-Event-ID": cursors[-1]})
    assert [(kind, body["status"]) for kind, body, _ in over_again] == [("status", "COMPLETED")]
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


@pytest.fixture
def slow_app(app_with: Make, running: Engine) -> FastAPI:
    """An application whose executions take a minute."""

    class Slow:
        def agent(self, _: str) -> Agent:
            return running.parts.catalogue.agent("t_slow")

    async def any_url(_: str, owner: str) -> None: ...

    services, parts = running.services, running.parts
    starter = JobStarter(
        Slow(),
        parts.backend.gateway,
        parts.backend.jobs,
        services.quotas,
        services.starter.models,
        check_url=any_url,
        clock=now,
        new_id=new_id,
        max_input_bytes=1024,
    )
    return app_with(
        user_agents=replace(services.user_agents, most=10),
        configurations=replace(services.configurations, most=10),
        executions=replace(services.executions, starter=starter),
    )


@pytest.fixture
async def slow_user(slow_app: FastAPI, key: Key) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(slow_app, **await key()) as client:
        yield client


async def agent_status(client: httpx2.AsyncClient, agent: dict[str, Any]) -> str:
    report: str = (await client.get(f"/api/agents/{agent['id']}")).json()["status"]
    return report


@ledger("O-024", "O-019", "C-40", "C-31")
async def test_an_open_execution_is_paused_for_all_to_see_and_cancelled(slow_user: httpx2.AsyncClient):
    agent = await create(slow_user)
    execution_id = await start(slow_user, agent)
    assert await agent_status(slow_user, agent) == "RUNNING"
    assert (await slow_user.get("/api/executions", params={"status": "RUNNING"})).status_code == 200
    paused = await httpx_plain(slow_user, f"/v1/jobs/{execution_id}/pause")
    assert paused.status_code == 200
    await eventually(lambda: agent_status(slow_user, agent), lambda seen: seen == "PAUSED")
    assert (await look(slow_user, execution_id))["status"] == "RUNNING"
    running = (await slow_user.get("/api/executions", params={"status": "RUNNING"})).json()
    assert [one["id"] for one in running["executions"]] == [execution_id]
    answer = await slow_user.delete(f"/api/executions/{execution_id}")
    assert (answer.status_code, answer.json()) == (200, {"message": "Execution cancelled"})
    done = await ended(slow_user, execution_id)
    assert done["status"] == "CANCELLED"
    assert {"job.cancelling", "job.cancelled"} <= {line["metadata"].get("event") for line in done["logs"]}
    assert await agent_status(slow_user, agent) == "IDLE"
    again = await slow_user.delete(f"/api/executions/{execution_id}")
    assert (again.status_code, again.json()) == (200, {"message": "Execution cancelled"})
    assert await look(slow_user, execution_id) == done, "a second cancel changes nothing"


async def httpx_plain(client: httpx2.AsyncClient, path: str) -> httpx2.Response:
    """A request of another surface by the same caller."""
    client.event_hooks = {"response": []}
    try:
        return await client.post(path)
    finally:
        client.event_hooks = {"response": [strict]}


@ledger("O-015", "C-41")
async def test_a_deleted_agent_leaves_nothing_running(slow_user: httpx2.AsyncClient, running: Engine):
    agent = await create(slow_user)
    ids = [await start(slow_user, agent) for _ in range(3)]
    answer = await slow_user.delete(f"/api/agents/{agent['id']}")
    assert answer.json()["message"] == "Agent deleted; 3 open executions cancelled"
    for execution_id in ids:
        job = await eventually(
            partial(running.services.reader.get, BOOTSTRAP, execution_id), lambda seen: seen.state.terminal
        )
        assert job.state == "CANCELLED"
    refused = await slow_user.post("/api/executions", json={"agentId": agent["id"]})
    assert refused.status_code == 404


@ledger("O-015")
async def test_of_many_who_delete_an_agent_at_once_one_did(user: httpx2.AsyncClient):
    agent = await create(user)
    answers = await asyncio.gather(*(user.delete(f"/api/agents/{agent['id']}") for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 404, 404, 404, 404]


@ledger("O-009", "O-005", "C-22")
async def test_others_see_nothing_of_it_not_even_an_administrator(user: httpx2.AsyncClient, app: FastAPI, key: Key):
    agent = await create(user)
    execution_id = await start(user, agent)
    await ended(user, execution_id)
    for headers in (await key(), ADMIN):
        async with client_of(app, **headers) as other:
            for path in ("", "/logs", "/stream"):
                assert (await other.get(f"/api/executions/{execution_id}{path}")).status_code == 404
            assert (await other.delete(f"/api/executions/{execution_id}")).status_code == 404
            assert (await other.get(f"/api/agents/{agent['id']}")).status_code == 404
            assert (await other.put(f"/api/agents/{agent['id']}", json={"name": "Mine"})).status_code == 404
            assert (await other.delete(f"/api/agents/{agent['id']}")).status_code == 404
            assert (await other.post("/api/executions", json={"agentId": agent["id"]})).status_code == 404
            listed = (await other.get("/api/executions", params={"agentId": agent["id"]})).json()
            assert listed["executions"] == []


async def test_the_jobs_of_other_surfaces_are_no_executions(app: FastAPI, running: Engine):
    job = await running.run("t_echo", {"topic": "x"})
    async with client_of(app, **ADMIN) as admin:
        assert (await admin.get(f"/api/executions/{job.id}")).status_code == 404
        assert (await admin.get("/api/executions/nothing")).json()["error"] == "NotFound"


@ledger("O-010", "O-013", "O-021", "O-048", "O-049", "C-11", "C-15")
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/agents", {"framework": "crewai"}),
        ("POST", "/api/agents", {"name": "", "framework": "crewai"}),
        ("POST", "/api/agents", {"name": "x" * 101, "framework": "crewai"}),
        ("POST", "/api/agents", {"name": "x", "framework": "langchain"}),
        ("POST", "/api/agents", {"name": "x", "framework": "crewai", "description": None}),
        ("POST", "/api/agents", {"name": "x", "framework": "crewai", "isActive": "yes"}),
        ("POST", "/api/agents", {"name": "x", "framework": "crewai", "tags": [1]}),
        ("PUT", "/api/agents/{agent}", {"name": None}),
        ("PUT", "/api/agents/{agent}", {"configuration": []}),
        ("POST", "/api/executions", {}),
        ("POST", "/api/executions", {"agentId": "{agent}", "environment": "moon"}),
        ("POST", "/api/executions", {"agentId": "{agent}", "trigger": "whim"}),
        ("POST", "/api/executions", {"agentId": "{agent}", "configuration": {"temperature": 9}}),
        ("POST", "/api/executions", {"agentId": "{agent}", "configuration": {"maxTokens": "many"}}),
        ("POST", "/api/executions", {"agentId": "{agent}", "configuration": {"fallback": "hope"}}),
        ("POST", "/api/executions", {"agentId": "{agent}", "configuration": {"configurationId": "config_0"}}),
    ],
)
async def test_what_cannot_be_is_a_bad_request(user: httpx2.AsyncClient, method: str, path: str, body: dict[str, Any]):
    agent = (await create(user))["id"]
    entries = {name: agent if value == "{agent}" else value for name, value in body.items()}
    answer = await user.request(method, path.format(agent=agent), json=entries)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"] == "BadRequest"
    assert answer.json()["details"]["field"]


@ledger("O-011", "O-021")
async def test_an_agent_that_is_not_active_is_not_executed(user: httpx2.AsyncClient):
    agent = await create(user, isActive=False)
    refused = await user.post("/api/executions", json={"agentId": agent["id"]})
    assert (refused.status_code, refused.json()["details"]) == (400, {"agent_id": agent["id"]})


@ledger("O-004", "C-17", "C-18")
@pytest.mark.parametrize("form", KeyForm)
async def test_a_key_of_either_form_opens_the_surface(app: FastAPI, running: Engine, form: KeyForm):
    request = KeyRequest("Keys", ORDINARY, form=form)
    issued = await running.services.keys.issue(BOOTSTRAP, request)
    assert re.fullmatch({"ao": r"ao_[0-9a-f]{64}", "dvr": r"dvr_sk_live_[0-9a-f]{80}"}[form], issued.token)
    assert issued.token.startswith(issued.key.visible_prefix)
    async with client_of(app, Authorization=f"Bearer {issued.token}") as client:
        assert (await client.get("/api/agents")).status_code == 200
    rotated = await running.services.keys.rotate(BOOTSTRAP, issued.key.id, overlap=timedelta(0))
    assert rotated.key.form is form
    assert rotated.token.startswith(form.form_prefix)
    await running.services.keys.revoke(issued.key.id)
    async with client_of(app, Authorization=f"Bearer {rotated.token}") as client:
        assert (await client.get("/api/agents")).status_code == 401


def token(running: Engine, user: str) -> str:
    secret = running.parts.backend.sealer.derived("tokens").hex()
    return jwt.encode({"sub": user, "exp": now() + timedelta(minutes=5)}, secret, "HS256")


def with_cookie(value: str, **headers: str) -> dict[str, str]:
    return {"Cookie": f"next-auth.session-token={value}", **headers}


@ledger("O-004", "C-19")
async def test_the_session_cookie_carries_a_users_token(app: FastAPI, running: Engine, key: Key):
    async with client_of(app, **with_cookie(token(running, "ada"))) as client:
        assert (await client.get("/api/agents")).status_code == 200
    api_key = (await key())["Authorization"].removeprefix("Bearer ")
    for value in ("nonsense", "a.b.c", api_key):
        async with client_of(app, **with_cookie(value)) as client:
            assert (await client.get("/api/agents")).status_code == 401
    async with over(app, **with_cookie(token(running, "ada"))) as client:
        assert (await client.get("/v1/agents")).status_code == 401


@ledger("C-19")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://testserver"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 201),
        ({"Origin": "http://testserver"}, 201),
    ],
)
async def test_a_session_changes_nothing_from_other_sites(
    app: FastAPI, running: Engine, headers: dict[str, str], status: int
):
    body = {"name": "Scout", "framework": "orca"}
    async with client_of(app, **with_cookie(token(running, "grace"), **headers)) as client:
        assert (await client.post("/api/agents", json=body)).status_code == status
    async with client_of(app, Authorization=f"Bearer {token(running, 'grace')}") as client:
        assert (await client.post("/api/agents", json=body)).status_code == 201


@ledger("O-004", "O-044", "C-06", "O-005")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/agents"),
        ("POST", "/api/executions"),
        ("GET", "/api/executions/x/stream"),
        ("GET", "/api/configurations"),
        ("POST", "/api/webhooks"),
        ("GET", "/api/dashboard/metrics"),
        ("GET", "/api/dashboard/real-time"),
    ],
)
async def test_only_health_is_public(app: FastAPI, method: str, path: str):
    async with client_of(app) as client:
        answer = await client.request(method, path)
        assert (answer.status_code, answer.json()["error"]) == (401, "Unauthorized")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert (await client.get("/api/health")).status_code == 200


@ledger("C-22", "O-004")
@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/api/agents", Scope.AGENTS_READ),
        ("DELETE", "/api/agents/x", Scope.AGENTS_EXECUTE),
        ("GET", "/api/executions", Scope.JOBS_READ),
        ("DELETE", "/api/executions/job_x", Scope.JOBS_CANCEL),
        ("GET", "/api/dashboard/metrics", Scope.METRICS_READ),
    ],
)
async def test_each_operation_wants_its_scope(app: FastAPI, key: Key, method: str, path: str, scope: Scope):
    async with client_of(app, **await key(ORDINARY - {scope})) as client:
        answer = await client.request(method, path)
    assert (answer.status_code, answer.json()["error"]) == (403, "Forbidden")
    async with client_of(app, **await key({scope})) as client:
        assert (await client.request(method, path)).status_code in (200, 404)


@ledger("O-006", "C-24", "C-25", "C-16")
async def test_a_thousand_requests_an_hour_and_a_hundred_executions(app_with: Make, key: Key):
    windows = {
        **SURFACE_LIMITS,
        SurfaceLimit.AGENTORCHESTRA: Window(limit=5, seconds=3600),
        SurfaceLimit.EXECUTIONS: Window(limit=2, seconds=3600),
    }
    app = app_with(limits=RequestLimits(RateLimiter(), {}, windows))
    async with client_of(app, **await key()) as client:
        entries = [await client.post("/api/executions", json={"agentId": "agent_0"}) for _ in range(3)]
        assert [answer.status_code for answer in entries] == [404, 404, 429]
        assert [int(answer.headers["X-RateLimit-Remaining"]) for answer in entries] == [1, 0, 0]
        assert entries[2].json()["error"] == "TooManyRequests"
        assert 3500 < int(entries[2].headers["Retry-After"]) <= 3600
        rest = [await client.get("/api/agents") for _ in range(3)]
        assert [answer.status_code for answer in rest] == [200, 200, 429]
        assert rest[0].headers["X-RateLimit-Limit"] == "5"
    async with client_of(app, **ADMIN) as admin:
        assert {(await admin.get("/api/agents")).status_code for _ in range(6)} == {200}
    assert SURFACE_LIMITS[SurfaceLimit.AGENTORCHESTRA] == Window(limit=1000, seconds=3600)
    assert SURFACE_LIMITS[SurfaceLimit.EXECUTIONS] == Window(limit=100, seconds=3600)


@ledger("C-28", "C-16")
async def test_the_concurrent_jobs_of_the_tier_hold_here_too(slow_app: FastAPI, key: Key):
    async with client_of(slow_app, **await key(tier=Tier.FREE)) as client:
        agent = await create(client)
        execution_id = await start(client, agent)
        refused = await client.post("/api/executions", json={"agentId": agent["id"]})
        await client.delete(f"/api/executions/{execution_id}")
    assert (refused.status_code, refused.json()["error"]) == (429, "TooManyRequests")
    assert refused.json()["details"]["limit"] == "concurrent_jobs"
    assert refused.headers["Retry-After"]


@ledger("O-023", "O-024", "O-025", "O-026", "C-15")
@pytest.mark.parametrize("execution_id", ["nope", "job_nope", "reconcile-index"])
@pytest.mark.parametrize(("method", "rest"), [("GET", ""), ("GET", "/logs"), ("GET", "/stream"), ("DELETE", "")])
async def test_an_unknown_execution_is_not_found(user: httpx2.AsyncClient, execution_id: str, method: str, rest: str):
    answer = await user.request(method, f"/api/executions/{execution_id}{rest}")
    assert answer.status_code == 404
    assert answer.json() == {
        "error": "NotFound",
        "message": f"Unknown execution: {execution_id}",
        "details": {"execution_id": execution_id},
    }


@ledger("C-07", "C-01", "C-11")
@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/api/nothing", 404), ("PATCH", "/api/agents", 405), ("GET", "/api", 404)]
)
async def test_unknown_paths_answer_in_the_words_of_this_surface(app: FastAPI, method: str, path: str, status: int):
    async with over(app, **ADMIN) as client:
        answer = await client.request(method, path)
        other = await client.post("/api/v1/execute-workflow", json={})
    assert answer.status_code == status
    assert set(answer.json()) <= {"error", "message", "details"}
    assert set(answer.json()) >= {"error", "message"}
    assert "detail" in other.json()


@ledger("O-011", "O-021")
async def test_the_longest_name_and_an_input_that_is_too_long(user: httpx2.AsyncClient):
    agent = await create(user, name="😀" * 100)
    done = await ended(user, await start(user, agent))
    assert (done["status"], done["agent"]["name"]) == ("COMPLETED", "😀" * 100)
    refused = await user.post("/api/executions", json={"agentId": agent["id"], "input": {"text": "x" * 4_200_000}})
    assert (refused.status_code, refused.json()["error"]) == (413, "PayloadTooLarge")
