"""Chat over HTTP and over its socket, over the whole product (A)."""

import asyncio
import json
import re
import shlex
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from api.app import create_app
from api.sockets import SocketLimits
from orchestrator.domain.access import Scope
from orchestrator.domain.errors import OrchestratorError, Unavailable
from orchestrator.domain.findings import Finding
from orchestrator.domain.limits import SURFACE_LIMITS, SurfaceLimit, Window
from orchestrator.plugins import BUILT_IN
from orchestrator.services.access.rate_limits import RateLimiter, RequestLimits
from orchestrator.testing import ADMIN_KEY, Engine, eventually, running_engine
from tests.api.conftest import ADMIN, Fixed, over, served
from tests.api.test_errors import Broken
from tests.fakes.openai_server import Answer, Failure, OpenAIServer
from tests.ledger import ledger
from tests.redis_server import RedisServer

Make = Callable[..., FastAPI]
Issue = Callable[..., Awaitable[dict[str, str]]]
KEYS = {"success", "data", "metadata", "error"}
DOCUMENTED = """curl -X POST https://api.ai-orchestra.com/chat/v2/chat \\
  -H "Authorization: Bearer YOUR_TOKEN" \\
  -H "Content-Type: application/json" \\
  -d '{
    "message": "Explain quantum computing",
    "session_id": "user-123-session-456",
    "optimization_mode": "balanced"
  }'
"""
HANGS = Answer({"summary": "s", "output": "never"}, then="hang")


def limits(**windows: Window) -> RequestLimits:
    """Limits that have counted nothing yet."""
    return RequestLimits(RateLimiter(), {}, {**SURFACE_LIMITS, **{SurfaceLimit(n): w for n, w in windows.items()}})


async def chat(client: httpx2.AsyncClient, path: str = "/chat/v2/chat", **more: Any) -> dict[str, Any]:
    body = more.pop("json", {"message": "Explain quantum computing", "optimization_mode": "lite"})
    answer = await client.post(path, json=body, **more)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


@asynccontextmanager
async def modelled(address: str, folder: Path, *script: Answer | Failure, **settings: Any) -> AsyncIterator[FastAPI]:
    """The application over an engine whose agents ask a model that answers by this script."""
    async with OpenAIServer(*script) as model:
        given = {"llm_base_url": model.url, "llm_api_key": SecretStr("key"), **settings}
        async with running_engine(address, folder, [BUILT_IN], **given) as engine:
            yield create_app(Fixed(engine.services))


@ledger("A-001", "A-002", "A-009", "A-010", "A-013", "A-014", "C-66")
async def test_a_message_is_answered_in_the_envelope(client: httpx2.AsyncClient):
    session_id = uuid.uuid4().hex
    answer = await chat(client, json={"message": "Explain quantum computing", "session_id": session_id})
    assert set(answer) == KEYS
    assert (answer["success"], answer["error"]) == (True, None)
    assert set(answer["metadata"]) == {"request_id", "timestamp", "version"}
    assert uuid.UUID(answer["metadata"]["request_id"]).version == 4
    assert datetime.fromisoformat(answer["metadata"]["timestamp"]).tzinfo is not None
    assert answer["metadata"]["version"] == "v2"
    data = answer["data"]
    assert {"response", "session_id", "execution_mode", "quality_score", "execution_time", "metadata"} == set(data)
    assert "Explain quantum computing" in data["response"]
    assert (data["session_id"], data["execution_mode"]) == (session_id, "research-team/balanced")
    assert data["quality_score"] is None
    assert "offline" in data["metadata"]["notes"][0]
    assert data["execution_time"] > 0
    assert data["metadata"]["tokens_used"] > 0
    assert data["metadata"]["model"] == "offline/drafter"
    steps = data["metadata"]["processing_steps"]
    assert [(one["step"], one["agent"], one["status"]) for one in steps] == [
        ("draft", "knowledge_curator", "completed"),
        ("review", "chat_reviewer", "completed"),
    ]
    job = (await client.get(f"/v1/jobs/{data['metadata']['job_id']}")).json()
    assert (job["status"], job["workflow_id"]) == ("completed", "chat_research_team_balanced")


@ledger("A-014")
async def test_a_model_gives_the_answer_and_its_score(temporal_address: str, tmp_path: Path):
    draft = Answer({"summary": "d", "output": "drafted"})
    review = Answer({"summary": "r", "output": "Forty-two.", "score": 0.85, "verdict": "accept", "findings": []})
    async with modelled(temporal_address, tmp_path, draft, review) as app, over(app, **ADMIN) as client:
        data = (await chat(client, json={"message": "What is the answer?", "swarm_type": "coding-team"}))["data"]
    assert (data["response"], data["quality_score"]) == ("Forty-two.", 0.85)
    assert data["metadata"]["notes"] == [
        "quality_score is the review's own, of the best draft, before that was corrected or merged into the answer."
    ]
    assert (data["metadata"]["model"], data["metadata"]["tokens_used"]) == ("served-model-2026-01", 7084)


@ledger("A-017", "A-003")
async def test_the_documented_command_runs_as_it_is_printed(app_with: Make):
    async with served(app_with()) as url:
        command = DOCUMENTED.replace("https://api.ai-orchestra.com", url).replace("YOUR_TOKEN", ADMIN_KEY)
        process = await asyncio.create_subprocess_exec(
            *shlex.split(command.replace("\\\n", " ")), "-s", stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
    body = json.loads(output)
    assert (body["success"], body["data"]["session_id"]) == (True, "user-123-session-456")


@ledger("A-004", "A-005", "A-018", "C-67")
async def test_version_1_is_kept_and_marked(client: httpx2.AsyncClient):
    old = {"text": "Hello", "sessionId": uuid.uuid4().hex}
    for path in ("/chat/v1/chat", "/chat/v2/chat"):
        answer = await client.post(path, json=old)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Deprecation"] == "true"
        assert answer.json()["metadata"]["version"] == "v1"
        assert answer.json()["data"]["session_id"] == old["sessionId"]
    new = await client.post("/chat/v2/chat", json={"message": "Hello", "optimization_mode": "lite"})
    assert "Deprecation" not in new.headers


@ledger("A-015", "A-013", "C-30")
async def test_a_session_is_a_conversation_and_no_job(client: httpx2.AsyncClient):
    made = await chat(client)
    session_id = made["data"]["session_id"]
    again = await chat(
        client, json={"message": "More", "session_id": session_id, "use_memory": True, "optimization_mode": "lite"}
    )
    assert again["data"]["session_id"] == session_id
    assert again["data"]["metadata"]["job_id"] != made["data"]["metadata"]["job_id"]
    job = (await client.get(f"/v1/jobs/{again['data']['metadata']['job_id']}")).json()
    assert job["input"]["history"][0].startswith("User: Explain quantum computing\n")
    assert (await client.get(f"/v1/jobs/{session_id}")).status_code == 404
    assert (await client.get(f"/workflow-status/{session_id}")).status_code == 404


@ledger("A-037", "A-010")
async def test_a_request_id_is_kept_and_makes_a_retry_safe(client: httpx2.AsyncClient):
    mine = str(uuid.uuid4())
    body = {"message": "Once", "session_id": uuid.uuid4().hex, "optimization_mode": "lite"}
    first, again = [await client.post("/chat/v2/chat", json=body, headers={"X-Request-ID": mine}) for _ in range(2)]
    assert first.json()["metadata"]["request_id"] == first.headers["X-Request-ID"] == mine
    assert first.json()["data"] == again.json()["data"]
    plain = await client.post("/chat/v2/chat", json=body, headers={"X-Request-ID": "no-uuid"})
    assert plain.json()["metadata"]["request_id"] == plain.headers["X-Request-ID"] == "no-uuid"
    made = await client.post("/chat/v2/chat", json=body)
    assert made.json()["metadata"]["request_id"] == made.headers["X-Request-ID"]
    assert made.json()["data"]["metadata"]["job_id"] != first.json()["data"]["metadata"]["job_id"]


@ledger("A-011", "A-016", "A-034", "A-035", "C-11")
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "message"),
        ({"message": ""}, "message"),
        ({"message": "x" * 32_001}, "message"),
        ({"message": 5}, "message"),
        ({"message": "x", "optimization_mode": "fast"}, "optimization_mode"),
        ({"message": "x", "swarm_type": "bees"}, "swarm_type"),
        ({"message": "x", "session_id": ""}, "session_id"),
        ({"message": "x", "use_memory": "perhaps"}, "use_memory"),
        ({"message": "x", "user_context": []}, "user_context"),
        ({"text": 5}, "text"),
        ({"text": ""}, "text"),
        ({"text": "x", "sessionId": 7}, "sessionId"),
        ({"sessionId": "s"}, "text"),
        ([], "body"),
    ],
)
async def test_bad_input_names_its_field(client: httpx2.AsyncClient, body: Any, field: str):
    answer = await client.post("/chat/v2/chat", json=body)
    assert answer.status_code == 400
    content = answer.json()
    assert set(content) == KEYS
    assert (content["success"], content["data"], content["error"]["code"]) == (False, None, "VALIDATION_ERROR")
    assert content["error"]["details"]["field"] == field
    assert content["error"]["details"]["reason"]
    assert content["error"]["message"]


async def test_a_context_that_is_too_large_is_413(client: httpx2.AsyncClient):
    body = {"message": "x", "user_context": {"y": "z" * 70_000}}
    answer = await client.post("/chat/v2/chat", json=body)
    assert (answer.status_code, answer.json()["error"]["details"]["field"]) == (413, "user_context")


@ledger("A-003", "A-034", "A-035", "C-14")
async def test_who_may_chat(app: FastAPI, key: Issue):
    body = {"message": "x"}
    async with over(app) as client:
        missing = await client.post("/chat/v2/chat", json=body)
        wrong = await client.post("/chat/v2/chat", json=body, headers={"Authorization": "Bearer nobody"})
        narrow = await client.post("/chat/v2/chat", json=body, headers=await key({Scope.JOBS_READ}))
        unknown = await client.get("/chat/v3/chat")
        method = await client.get("/chat/v2/chat")
    for answer, status, code in (
        (missing, 401, "AUTHENTICATION_ERROR"),
        (wrong, 401, "AUTHENTICATION_ERROR"),
        (narrow, 403, "AUTHENTICATION_ERROR"),
        (unknown, 404, "VALIDATION_ERROR"),
        (method, 405, "VALIDATION_ERROR"),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert set(answer.json()) == KEYS
    assert missing.headers["WWW-Authenticate"] == "Bearer"


@ledger("A-006", "A-008", "A-034", "C-16")
async def test_a_keys_requests_are_limited(app_with: Make, key: Issue):
    assert SURFACE_LIMITS[SurfaceLimit.CHAT] == Window(limit=1000 + 50, seconds=60)
    app = app_with(limits=limits(chat=Window(limit=2, seconds=60)))
    async with over(app, **await key()) as client, over(app, **await key()) as other:
        body = {"message": "x", "optimization_mode": "lite"}
        answers = [await client.post("/chat/v2/chat", json=body) for _ in range(3)]
        unhindered = await other.post("/chat/v2/chat", json=body)
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[1].headers["X-RateLimit-Remaining"] == "0"
    assert answers[2].json()["error"]["code"] == "RATE_LIMIT_ERROR"
    assert int(answers[2].headers["Retry-After"]) >= 1
    assert answers[2].headers["X-RateLimit-Limit"] == "2"
    assert unhindered.status_code == 200


@ledger("A-034")
@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Unavailable("no index"), 503, "SERVICE_UNAVAILABLE"),
        (OrchestratorError("secret"), 500, "INTERNAL_ERROR"),
        (RuntimeError("secret"), 500, "INTERNAL_ERROR"),
    ],
)
async def test_a_fault_is_worded_as_documented(app_with: Make, fault: Exception, status: int, code: str):
    class Faulty:
        async def begin(self, *_: object) -> None:
            raise fault

    async with over(app_with(conversations=Faulty()), **ADMIN) as client:
        answer = await client.post("/chat/v2/chat", json={"message": "x"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert ("Retry-After" in answer.headers) == (status == 503)


@ledger("A-034")
async def test_a_slow_answer_is_504_and_its_job_goes_on(temporal_address: str, tmp_path: Path):
    async with modelled(temporal_address, tmp_path, HANGS, sync_timeout=0.5) as app, over(app, **ADMIN) as client:
        mine = {"X-Request-ID": str(uuid.uuid4())}
        body = {"message": "x", "session_id": uuid.uuid4().hex, "optimization_mode": "lite"}
        late = await client.post("/chat/v2/chat", json=body, headers=mine)
        assert (late.status_code, late.json()["error"]["code"]) == (504, "TIMEOUT_ERROR")
        job_id = late.json()["error"]["details"]["job_id"]

        async def status() -> str:
            return str((await client.get(f"/v1/jobs/{job_id}")).json()["status"])

        await eventually(status, lambda now: now == "running")
        again = await client.post("/chat/v2/chat", json=body, headers=mine)
        assert again.json()["error"]["details"]["job_id"] == job_id
        await client.post(f"/v1/jobs/{job_id}/cancel", json={})


@ledger("A-034")
async def test_a_failed_answer_is_500_and_names_its_job(temporal_address: str, tmp_path: Path):
    async with modelled(temporal_address, tmp_path, Failure(400)) as app, over(app, **ADMIN) as client:
        body = {"message": "x", "session_id": uuid.uuid4().hex, "optimization_mode": "lite"}
        answer = await client.post("/chat/v2/chat", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "INTERNAL_ERROR")
        job = await client.get(f"/v1/jobs/{answer.json()['error']['details']['job_id']}")
    assert job.json()["status"] == "failed"


@ledger("A-036", "C-51", "C-52")
async def test_a_webhook_is_registered_in_the_one_store(client: httpx2.AsyncClient):
    body = {
        "url": "https://example.com/webhook",
        "events": ["chat.completed", "session.ended"],
        "secret": "webhook-secret",
    }
    answer = await client.post("/chat/v2/webhooks", json=body)
    assert answer.status_code == 201, answer.text
    data = answer.json()["data"]
    try:
        assert set(data) == {"id", "url", "events", "created_at"}
        known = await client.get(f"/v1/webhooks/{data['id']}")
        assert known.json()["events"] == body["events"]
    finally:
        await client.delete(f"/v1/webhooks/{data['id']}")
    wrong = await client.post("/chat/v2/webhooks", json={**body, "events": ["chat.exploded"]})
    assert (wrong.status_code, wrong.json()["error"]["details"]["field"]) == (400, "events")


@ledger("A-026", "A-012", "C-02", "C-06", "C-66", "M-019")
async def test_health_reports_every_component_without_an_envelope(app: FastAPI):
    async with over(app) as anonymous:
        answer = await anonymous.get("/health")
    body = answer.json()
    assert answer.status_code == 200
    assert set(body) == {"status", "version", "uptime", "components"}
    assert (body["status"], body["version"]) == ("healthy", "2.0.0")
    assert body["uptime"] >= 0
    assert body["components"] == {
        "orchestra_manager": "healthy",
        "command_dispatcher": "healthy",
        "memory_system": "healthy",
        "swarm_intelligence": "degraded",  # no provider is configured
    }


@ledger("A-026", "A-028")
async def test_health_and_readiness_while_nothing_could_be_opened():
    async with over(create_app(Broken(Unavailable("no database")))) as client:
        health, readiness = await client.get("/health"), await client.get("/readiness")
    assert (health.status_code, health.json()["status"]) == (200, "unhealthy")
    assert (readiness.status_code, readiness.json()["ready"]) == (503, False)


@ledger("A-028", "A-012", "C-06")
async def test_readiness(app: FastAPI, app_with: Make):
    class Partly:
        async def checks(self) -> list[Finding]:
            return [Finding.of("temporal", ok=True, message="ok"), Finding.of("database", ok=False, message="gone")]

        async def further(self) -> list[Finding]:
            return [Finding.of("cache", ok=False, message="gone")]

    async with over(app) as client, over(app_with(readiness=Partly())) as partly:
        ready, unready = await client.get("/readiness"), await partly.get("/readiness")
    checks = {"database": True, "cache": True, "external_services": True}
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "checks": checks})
    assert unready.status_code == 503
    assert unready.json() == {"ready": False, "checks": dict.fromkeys(checks, False)}


@ledger("A-028")
async def test_the_cache_of_the_readiness_is_redis(temporal_address: str, tmp_path: Path, redis_server: RedisServer):
    url = SecretStr(redis_server.ready())
    async with (
        running_engine(temporal_address, tmp_path, [BUILT_IN], redis_url=url) as engine,
        over(create_app(Fixed(engine.services))) as client,
    ):

        async def seen() -> dict[str, Any]:
            body: dict[str, Any] = (await client.get("/readiness")).json()
            return body

        up = await eventually(seen, lambda body: body["ready"])
        redis_server.kill()
        down = await seen()
    assert up["checks"]["cache"] is True
    assert (down["ready"], down["checks"]["cache"]) == (True, False)


@ledger("A-029", "A-012", "C-03", "C-06", "M-020")
async def test_metrics_are_text_and_on_request_json(app: FastAPI):
    async with over(app) as client:
        await client.post("/chat/v2/chat", json={})
        text = (await client.get("/metrics")).text
        asked = await client.get("/metrics", headers={"Accept": "application/json"})
        browser = await client.get("/metrics", headers={"Accept": "text/html,application/json;q=0.9"})
    for line in (
        "# HELP http_requests_total Total HTTP requests",
        "# TYPE http_requests_total counter",
        "# HELP websocket_connections Active WebSocket connections",
        "# TYPE websocket_connections gauge",
    ):
        assert line in text.splitlines()
    samples = {
        (one.name, one.labels.get("method"), one.labels.get("endpoint")): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }
    assert samples["http_requests_total", "POST", "/chat/v2/chat"] >= 1
    assert re.search(r"^websocket_connections \d", text, re.MULTILINE)
    assert asked.headers["content-type"] == "application/json"
    families = {family["name"]: family for family in asked.json()["metrics"]}
    assert families["websocket_connections"]["type"] == "gauge"
    assert families["http_requests"]["samples"]
    assert browser.headers["content-type"].startswith("text/plain")


async def test_hidden_agents_and_plans_are_in_no_list(client: httpx2.AsyncClient):
    agents = (await client.get("/v1/agents")).json()["agents"]
    workflows = (await client.get("/v1/workflows")).json()["workflows"]
    assert not [one["id"] for one in (*agents, *workflows) if one["id"].startswith("chat_")]


# The socket


@asynccontextmanager
async def talking(app: FastAPI, session: str | None = None, **more: Any) -> AsyncIterator[ClientConnection]:
    headers = more.pop("headers", ADMIN)
    query = more.pop("query", "")
    async with served(app) as url:
        address = f"{url.replace('http', 'ws', 1)}/chat/ws/client-123/{session or uuid.uuid4().hex}{query}"
        async with connect(address, additional_headers=headers) as opened:
            yield opened


async def send(socket: ClientConnection, type: str, **data: Any) -> None:
    await socket.send(json.dumps({"type": type, "data": data}))


async def heard(socket: ClientConnection) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads(await asyncio.wait_for(socket.recv(), 30))
    assert set(frame) == {"type", "data", "timestamp"}
    assert datetime.fromisoformat(frame["timestamp"])
    return frame


@ledger("A-019", "A-020", "A-021")
async def test_a_message_over_the_socket_is_answered(app_with: Make):
    async with talking(app_with()) as socket:
        await send(socket, "chat", message="Hello AI", context={})
        frame = await heard(socket)
    assert frame["type"] == "chat"
    assert "Hello AI" in frame["data"]["response"]
    assert {"session_id", "execution_mode", "quality_score", "execution_time", "metadata"} <= set(frame["data"])


@ledger("A-024")
async def test_tokens_are_streamed_and_the_answer_follows(app_with: Make):
    async with talking(app_with()) as socket:
        await send(socket, "stream", message="Write a Python function", swarm_type="coding-team")
        frames = []
        while not frames or frames[-1]["type"] != "chat":
            frames.append(await heard(socket))
    *tokens, answer = frames
    assert {frame["type"] for frame in tokens} == {"stream"}
    assert [frame["data"]["done"] for frame in tokens] == [False] * (len(tokens) - 1) + [True]
    assert [frame["data"]["index"] for frame in tokens] == list(range(len(tokens)))
    assert "".join(frame["data"]["token"] for frame in tokens) == answer["data"]["response"]
    assert len(tokens) > 1


@ledger("A-022", "A-023")
async def test_controls_and_commands(app_with: Make):
    session = uuid.uuid4().hex
    async with talking(app_with(), session) as socket:
        await send(socket, "control", action="ping")
        assert (await heard(socket))["data"] == {"action": "pong"}
        await send(socket, "control", action="status")
        status = (await heard(socket))["data"]
        assert (status["status"], status["session_id"], status["job_id"]) == ("connected", session, None)
        await send(socket, "command", command="help")
        assert set((await heard(socket))["data"]["commands"]) == {"help", "history", "reset", "cancel"}
        await send(socket, "chat", message="Remember me", optimization_mode="lite")
        await send(socket, "command", command="history")
        assert (await heard(socket))["type"] == "chat"
        history = (await heard(socket))["data"]
        assert [turn["message"] for turn in history["turns"]] == ["Remember me"]
        await send(socket, "command", command="reset")
        await send(socket, "command", command="history")
        assert (await heard(socket))["data"] == {"command": "reset"}
        assert (await heard(socket))["data"]["turns"] == []
        await send(socket, "command", command="cancel")
        assert (await heard(socket))["type"] == "error"


@ledger("A-022")
async def test_the_message_that_is_being_answered_can_be_cancelled(temporal_address: str, tmp_path: Path):
    async with modelled(temporal_address, tmp_path, HANGS) as app, talking(app) as socket:
        await send(socket, "chat", message="Take your time", optimization_mode="lite")

        async def status() -> str | None:
            await send(socket, "control", action="status")
            job_id: str | None = (await heard(socket))["data"]["job_id"]
            return job_id

        job_id = await eventually(status, lambda job_id: job_id is not None)
        async with over(app, **ADMIN) as client:
            await eventually(
                lambda: client.get(f"/v1/jobs/{job_id}"),
                lambda answer: answer.status_code == 200 and answer.json()["status"] == "running",
            )
        await send(socket, "command", command="cancel")
        frames = [await heard(socket) for _ in range(2)]
    assert {frame["type"] for frame in frames} == {"command", "error"}
    assert next(frame for frame in frames if frame["type"] == "error")["data"]["details"]["job_id"] == job_id


@ledger("C-47", "A-019", "A-003")
@pytest.mark.parametrize("how", ["query", "frame"])
async def test_a_browser_says_who_it_is(app_with: Make, how: str):
    query = f"?token={ADMIN_KEY}" if how == "query" else ""
    async with talking(app_with(), headers={}, query=query) as socket:
        if how == "frame":
            await send(socket, "control", action="auth", token=ADMIN_KEY)
            assert (await heard(socket))["data"] == {"action": "auth", "status": "authenticated"}
        await send(socket, "control", action="ping")
        assert (await heard(socket))["data"] == {"action": "pong"}


@ledger("C-47")
@pytest.mark.parametrize(
    ("headers", "query", "first"),
    [
        ({"Authorization": "Bearer nobody"}, "", None),
        ({}, "?token=nobody", None),
        ({}, "", {"type": "chat", "data": {"message": "Hello AI", "context": {}}}),
        ({}, "", {"type": "control", "data": {"action": "auth", "token": "nobody"}}),
        ({}, "", {"type": "control", "data": {"action": "auth"}}),
        ({}, "", {}),
    ],
    ids=["header", "query", "chat-first", "frame", "no-token", "no-frame"],
)
async def test_an_unknown_client_is_closed(app_with: Make, headers: dict[str, str], query: str, first: Any):
    async with talking(app_with(), headers=headers, query=query) as socket:
        if first is not None:
            await socket.send(json.dumps(first))
        frame = await heard(socket)
        with pytest.raises(ConnectionClosed) as closed:
            await heard(socket)
    assert (frame["type"], frame["data"]["code"]) == ("error", "AUTHENTICATION_ERROR")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


@ledger("C-47")
async def test_a_client_that_never_says_who_it_is_is_closed(app_with: Make):
    app = app_with()
    app.state.api = replace(app.state.api, socket_limits=SocketLimits(auth_timeout=0.2))
    async with talking(app, headers={}) as socket:
        await heard(socket)
        with pytest.raises(ConnectionClosed) as closed:
            await heard(socket)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


@ledger("A-007", "A-025")
async def test_the_101st_message_in_a_minute_is_refused_and_the_connection_kept(app_with: Make):
    app = app_with(limits=limits())
    async with talking(app) as socket:
        for _ in range(101):
            await send(socket, "control", action="ping")
        frames = [await heard(socket) for _ in range(101)]
        await socket.ping()
        async with connect(_again(socket), additional_headers=ADMIN) as other:
            await send(other, "control", action="ping")
            assert (await heard(other))["data"] == {"action": "pong"}
    assert [frame["type"] for frame in frames] == ["control"] * 100 + ["error"]
    assert frames[-1]["data"]["code"] == "RATE_LIMIT_ERROR"


def _again(socket: ClientConnection) -> str:
    assert socket.request is not None
    return f"ws://{socket.request.headers['Host']}{socket.request.path}"


@ledger("A-025")
async def test_a_frame_that_cannot_be_read_is_an_error_and_the_connection_kept(app_with: Make):
    async with talking(app_with()) as socket:
        for raw in ("not json", b"\x00\x01", '{"type": "chat", "data": {}}', '{"type": "shout", "data": {}}'):
            await socket.send(raw)
            frame = await heard(socket)
            assert (frame["type"], frame["data"]["code"]) == ("error", "VALIDATION_ERROR")
        await send(socket, "control", action="ping")
        assert (await heard(socket))["data"] == {"action": "pong"}


@ledger("A-037")
async def test_a_client_that_connects_again_gets_the_answer_that_it_missed(app_with: Make, running: Engine):
    session, mine = uuid.uuid4().hex, uuid.uuid4().hex
    said = {"message": "Do not lose this", "optimization_mode": "lite", "request_id": mine}
    async with talking(app_with(), session) as socket:
        await send(socket, "chat", **said)
        first = await heard(socket)
    async with talking(app_with(), session) as socket:
        await send(socket, "chat", **said)
        again = await heard(socket)
    assert first["data"] == again["data"]


async def test_open_sockets_are_counted(app_with: Make):
    app = app_with()
    async with talking(app) as socket, over(app) as client:
        await send(socket, "control", action="ping")
        await heard(socket)
        assert "websocket_connections 1.0" in (await client.get("/metrics")).text
