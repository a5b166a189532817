"""The audit trail over HTTP: one entry for every call that was to change something."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from structlog.testing import capture_logs
from websockets.asyncio.client import connect

from api.app import create_app
from api.security import JobsCancel
from api.v1.envelope import V1Route
from orchestrator.composition.backend import now
from orchestrator.domain.access import AuditEntry, Scope
from orchestrator.domain.errors import InvalidInput, Unavailable
from orchestrator.security.sealing import Sealer
from orchestrator.services.access.audit import AuditLog, RefusedCalls
from orchestrator.testing import Engine, eventually
from tests.api.conftest import ADMIN, Fixed, over, served
from tests.api.test_auth import KEYS, issued
from tests.ledger import ledger

Issue = Callable[..., Awaitable[dict[str, str]]]

SEALER = Sealer("a secret of the tests")
SIGN_IN = "/api/v1/auth"
DONE_BY_SOCKET = {"cancel": 400, "chat": 200, "reset": 200}


async def trail(client: httpx2.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get("/v1/audit", params=query, headers=ADMIN)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["entries"])


async def test_a_call_leaves_one_entry(client: httpx2.AsyncClient, key: Issue) -> None:
    headers = {**await key(owner="audited-one"), "X-Request-ID": "req_of_mine"}
    before = datetime.now(UTC) - timedelta(seconds=2)
    answer = await client.post("/v1/jobs/job_x/cancel?reason=secret", json={"reason": "secret"}, headers=headers)
    assert answer.status_code == 400
    (entry,) = await trail(client, principal="audited-one")
    at = datetime.fromisoformat(entry.pop("at"))
    assert before <= at <= datetime.now(UTC)
    assert re.fullmatch(r"key_[0-9a-f]{32}", entry.pop("key_id"))
    assert entry.pop("id") > 0
    assert entry == {
        "principal": "audited-one",
        "action": "POST /v1/jobs/{job_id}/cancel",
        "path": "/v1/jobs/job_x/cancel",
        "status": 400,
        "address": "127.0.0.1",
        "request_id": "req_of_mine",
        "surface": "devora",
        "calls": 1,
    }


async def test_refused_calls_leave_an_entry_too_and_reading_leaves_none(client: httpx2.AsyncClient, key: Issue) -> None:
    headers = await key([Scope.JOBS_READ], owner="audited-two")
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "/v1/jobs", {}),
        ("GET", "/v1/limits", {}),
        ("POST", "/v1/agents/t_echo/execute", {"json": {"input": {}}}),
        ("POST", "/v1/agents/t_echo/execute", {"content": b"{", "headers": {"Content-Type": "application/json"}}),
        ("DELETE", f"{KEYS}/nothing", {}),
        ("PUT", "/v1/nothing", {}),
        ("PATCH", "/v1/jobs", {}),
        ("POST", "/v1/jobs/job_\0/cancel".replace("\0", "%00"), {}),
    ]
    for method, path, more in calls:
        await client.request(method, path, **{**more, "headers": {**headers, **more.get("headers", {})}})
    seen = [(entry["action"], entry["status"]) for entry in await trail(client, principal="audited-two")]
    assert seen[::-1] == [
        ("POST /v1/agents/{agent_id}/execute", 403),
        ("POST /v1/agents/{agent_id}/execute", 403),
        (f"DELETE {KEYS}/{{key_id}}", 403),
        ("PUT (none)", 404),
        ("PATCH /v1/jobs", 405),
        ("POST /v1/jobs/{job_id}/cancel", 403),
    ]


async def test_signing_in_leaves_an_entry(app: FastAPI, client: httpx2.AsyncClient) -> None:
    given = {"username": "audited.ada", "password": "a long password"}
    added = await client.post("/v1/users", json={**given, "roles": ["orchestration_manager"]})
    async with over(app) as anonymous:
        assert (await anonymous.post(f"{SIGN_IN}/login", json={**given, "password": "wrong"})).status_code == 401
        tokens = (await anonymous.post(f"{SIGN_IN}/login", json=given)).json()
        renewing = {"refresh_token": tokens["refresh_token"]}
        assert (await anonymous.post(f"{SIGN_IN}/refresh", json=renewing)).status_code == 200
    seen = [(entry["action"], entry["status"]) for entry in await trail(client, principal=f"user:{added.json()['id']}")]
    assert seen == [(f"POST {SIGN_IN}/refresh", 200), (f"POST {SIGN_IN}/login", 200)]


@pytest.mark.parametrize("path", ["/execute-workflow", "/custom/execute"])
async def test_a_start_without_a_credential_leaves_an_entry(
    app: FastAPI, client: httpx2.AsyncClient, path: str
) -> None:
    async with over(app) as anonymous:
        answer = await anonymous.post(path, json={"requirements": "A calculator", "workflow_type": "t_three"})
    assert answer.status_code == 200
    entry = (await trail(client, principal="public:127.0.0.1", limit=1))[0]
    report = (entry["action"], entry["status"], entry["address"], entry["request_id"])
    assert report == (f"POST {path}", 200, "127.0.0.1", answer.headers["X-Request-ID"])


async def test_what_is_done_over_a_chat_socket_leaves_entries(
    app_with: Callable[..., FastAPI], client: httpx2.AsyncClient, key: Issue
) -> None:
    headers = await key(owner="audited-six") | {"X-Request-ID": "req_of_a_socket"}
    frames = [
        {"type": "command", "data": {"command": "cancel"}},
        {"type": "chat", "data": {"message": "Hello"}},
        {"type": "control", "data": {"action": "ping"}},
        {"type": "command", "data": {"command": "history"}},
        {"type": "command", "data": {"command": "reset"}},
    ]
    async with served(app_with()) as url:
        address = f"{url.replace('http', 'ws')}/chat/ws/client/session"
        async with connect(address, additional_headers=headers) as socket:
            for frame in frames:
                await socket.send(json.dumps(frame))
            for _ in frames:
                await asyncio.wait_for(socket.recv(), 30)
            entries = await eventually(lambda: trail(client, principal="audited-six"), lambda seen: len(seen) == 3)
    route = "/chat/ws/{client_id}/{session_id}"
    seen = {(entry["action"], entry["path"], entry["request_id"]) for entry in entries}
    assert seen == {(f"WS {route} {did}", "/chat/ws/client/session", "req_of_a_socket") for did in DONE_BY_SOCKET}
    assert {entry["action"].rpartition(" ")[2]: entry["status"] for entry in entries} == DONE_BY_SOCKET


@pytest.fixture
def watchful(app_with: Callable[..., FastAPI], running: Engine) -> FastAPI:
    """An application whose minute has seen no refused call yet."""
    return app_with(audit=AuditLog(running.parts.backend.trail, running.parts.backend.sealer, clock=now))


def audit_of(app: FastAPI) -> AuditLog:
    source: Fixed = app.state.api.source
    return source.given.audit


async def newest(client: httpx2.AsyncClient) -> int:
    return max([entry["id"] for entry in await trail(client, limit=1)], default=0)


async def added(client: httpx2.AsyncClient, last: int, **query: Any) -> list[dict[str, Any]]:
    """Entries after one, oldest first, without those of this test's own reading."""
    found = [entry for entry in await trail(client, limit=200, **query) if entry["id"] > last]
    return [entry for entry in found[::-1] if entry["action"] != "GET /v1/audit"]


async def test_a_credential_that_is_refused_leaves_an_entry_on_every_surface(
    watchful: FastAPI, client: httpx2.AsyncClient
) -> None:
    last = await newest(client)
    calls = [
        ("POST", KEYS, {"Authorization": "Bearer wrong"}, "devora"),
        ("GET", "/v1/jobs", {"Authorization": "Bearer dvr_sk_live_" + "ab" * 40}, "devora"),
        ("GET", "/v1/jobs", {}, "devora"),
        ("GET", "/api/agents", {"Authorization": "Bearer a.b.c"}, "agentorchestra"),
        ("GET", "/api/v1/orchestration/config", {"Authorization": "Basic YTpi"}, "devskyy"),
        ("POST", "/chat/v2/chat", {"Authorization": "Bearer wrong"}, "ai_orchestra"),
        ("POST", "/protected/execute-workflow", {"Authorization": "Bearer wrong"}, "orchestrator"),
    ]
    async with over(watchful) as anybody:
        for method, path, headers, _ in calls:
            body = {"message": "x", "requirements": "x", "workflow_type": "t_three"} if method == "POST" else None
            answer = await anybody.request(method, path, headers=headers, json=body)
            assert answer.status_code == 401, answer.text
        assert (await anybody.post("/nothing", headers={"Authorization": "Bearer wrong"})).status_code == 404
    seen = [(e["action"], e["surface"], e["principal"], e["status"], e["address"]) for e in await added(client, last)]
    assert seen == [(f"{m} {path}", surface, "-", 401, "127.0.0.1") for m, path, _, surface in calls]


async def test_a_right_that_is_lacking_leaves_an_entry_for_reads_too(
    watchful: FastAPI, client: httpx2.AsyncClient, key: Issue
) -> None:
    async with over(watchful, **await key([Scope.JOBS_READ], owner="audited-seven")) as caller:
        for path in ("/v1/agents", "/v1/audit", "/v1/jobs"):
            await caller.get(path)
    seen = [(e["action"], e["status"]) for e in await trail(client, principal="audited-seven")]
    assert seen == [("GET /v1/audit", 403), ("GET /v1/agents", 403)]


async def test_what_is_confidential_is_not_read_unseen(client: httpx2.AsyncClient, key: Issue) -> None:
    headers = await key([Scope.ADMIN], owner="audited-eight")
    paths = ["/v1/audit", KEYS, f"{KEYS}/key_{'0' * 32}", "/v1/users", "/v1/jobs"]
    paths += [f"/api/v1/orchestration/{path}" for path in ("config", "deployment/readiness", "status")]
    for path in paths:
        assert (await client.get(path, headers=headers)).status_code in (200, 404)
    seen = [(e["action"], e["status"]) for e in await trail(client, principal="audited-eight")]
    assert seen == [
        ("GET /api/v1/orchestration/deployment/readiness", 200),
        ("GET /api/v1/orchestration/config", 200),
        ("GET /v1/users", 200),
        (f"GET {KEYS}", 200),
        ("GET /v1/audit", 200),
    ]


async def test_a_sign_in_that_fails_is_found_by_its_name_which_is_not_kept(
    watchful: FastAPI, client: httpx2.AsyncClient
) -> None:
    last = await newest(client)
    mistaken = "my-password-in-the-wrong-field"
    async with over(watchful) as anybody:
        for name in (mistaken, mistaken, "audited.bob"):
            answer = await anybody.post(f"{SIGN_IN}/login", json={"username": name, "password": "wrong"})
            assert answer.status_code == 401
    entries = await added(client, last)
    assert [(e["action"], e["status"], e["surface"]) for e in entries] == [
        (f"POST {SIGN_IN}/login", 401, "devskyy")
    ] * 3
    assert mistaken not in json.dumps(entries)
    assert entries[0]["principal"] == entries[1]["principal"] != entries[2]["principal"]
    assert [e["id"] for e in await trail(client, username="audited.bob", limit=1)] == [entries[2]["id"]]


async def test_a_flood_of_wrong_keys_is_a_few_entries(watchful: FastAPI, client: httpx2.AsyncClient) -> None:
    last = await newest(client)
    async with over(watchful) as anybody:
        for number in range(60):
            await anybody.get("/v1/jobs", headers={"Authorization": f"Bearer wrong-{number}"})
    await audit_of(watchful).aclose()
    entries = await added(client, last)
    assert [(e["action"], e["calls"], e["address"]) for e in entries] == [
        *[("GET /v1/jobs", 1, "127.0.0.1")] * 10,
        ("(refused)", 50, "127.0.0.1"),
    ]


def test_strangers_of_many_addresses_fill_neither_trail_nor_memory() -> None:
    refused = RefusedCalls()
    entry = AuditEntry(now(), "-", None, "GET /v1/jobs", "/v1/jobs", 401, "::", "req")
    admitted = sum(refused.admit(replace(entry, address=f"::{n % 5000:x}"), f"::{n % 5000:x}") for n in range(20_000))
    together = list(refused.counted(now()))
    assert admitted <= 300
    assert len(together) <= 101
    assert admitted + sum(each.calls for each in together) == 20_000
    assert list(refused.counted(now())) == []
    assert refused.admit(entry, "::"), "another minute"


async def test_a_minute_that_ends_writes_what_it_counted(running: Engine, client: httpx2.AsyncClient) -> None:
    last = await newest(client)
    log = AuditLog(running.parts.backend.trail, SEALER, clock=now, minute=0.01)
    entry = AuditEntry(now(), "-", None, "GET /x", "/x", 401, "10.0.0.9", "req")
    await asyncio.gather(*(log.record_refused(entry, "10.0.0.9") for _ in range(25)))
    found = await eventually(lambda: added(client, last, action="(refused)"), bool)
    assert [(e["calls"], e["address"], e["principal"]) for e in found] == [(15, "10.0.0.9", "-")]


async def test_a_wrong_token_on_a_socket_leaves_an_entry(watchful: FastAPI, client: httpx2.AsyncClient) -> None:
    last = await newest(client)
    async with served(watchful) as url, connect(f"{url.replace('http', 'ws')}/v1/ws", proxy=None) as socket:
        await socket.send(json.dumps({"type": "auth", "token": "wrong"}))
        await socket.wait_closed()
        entries = await eventually(lambda: added(client, last), bool)
    assert [(e["action"], e["status"], e["principal"], e["surface"]) for e in entries] == [
        ("WS /v1/ws", 401, "-", "devora")
    ]


async def test_the_log_line_of_a_request_says_from_where_and_on_which_surface(app: FastAPI) -> None:
    async with over(app) as anybody:
        with capture_logs() as logs:
            await anybody.get("/api/agents")
    (line,) = [line for line in logs if line["event"] == "request"]
    assert (line["client"], line["surface"]) == ("127.0.0.1", "agentorchestra")


async def test_later_routes_and_faults_are_covered_by_themselves(
    running: Engine, client: httpx2.AsyncClient, key: Issue
) -> None:
    router = APIRouter(prefix="/v9", route_class=V1Route)

    @router.post("/broken/{name}")
    async def broken(_: JobsCancel, name: str) -> None:
        raise RuntimeError(name)

    plain = APIRouter()

    @plain.delete("/v9/plain")
    async def plainly_broken(_: JobsCancel) -> None:
        raise RuntimeError("plain")

    app = create_app(Fixed(running.services))
    app.include_router(router)
    app.include_router(plain)
    async with over(app, **await key(owner="audited-three")) as caller:
        assert (await caller.post("/v9/broken/it")).status_code == 500
        assert (await caller.delete("/v9/plain")).status_code == 500
    seen = [(entry["action"], entry["status"]) for entry in await trail(client, principal="audited-three")]
    assert seen == [("DELETE /v9/plain", 500), ("POST /v9/broken/{name}", 500)]


async def test_the_trail_is_filtered_and_paged(client: httpx2.AsyncClient, key: Issue) -> None:
    headers = await key(owner="audited-four")
    for verb in ("cancel", "pause", "resume"):
        await client.post(f"/v1/jobs/job_x/{verb}", headers=headers)

    async def page(**query: Any) -> dict[str, Any]:
        answer = await client.get("/v1/audit", params={"principal": "audited-four", **query})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def verbs(found: dict[str, Any]) -> list[str]:
        return [entry["path"].rpartition("/")[2] for entry in found["entries"]]

    first = await page(limit=2)
    assert verbs(first) == ["resume", "pause"]
    second = await page(limit=2, before=first["next"])
    assert (verbs(second), second["next"]) == (["cancel"], None)
    assert verbs(await page(action="POST /v1/jobs/{job_id}/p")) == ["pause"]
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert verbs(await page(since=soon)) == []
    assert verbs(await page(until=soon)) == ["resume", "pause", "cancel"]
    assert (await page(limit=3))["next"] is None, "exactly as many as asked for"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"before": 0}, "before"),
        ({"before": 2**31}, "before"),
        ({"since": "yesterday"}, "since"),
        ({"until": "2026-01-01T00:00:00"}, "until"),
        ({"principal": "a\0"}, "principal"),
        ({"action": "x" * 201}, "action"),
    ],
)
async def test_a_filter_that_cannot_be_is_refused(
    client: httpx2.AsyncClient, query: dict[str, Any], field: str
) -> None:
    answer = await client.get("/v1/audit", params=query)
    assert (answer.status_code, answer.json()["error"]["details"]["field"]) == (400, field)


@ledger("D-015")
async def test_the_trail_is_for_admins(client: httpx2.AsyncClient, key: Issue) -> None:
    assert (await client.get("/v1/audit", headers=await key())).status_code == 403
    assert (await client.get("/v1/audit", headers=await key([Scope.ADMIN]))).status_code == 200


@pytest.mark.parametrize("fault", [Unavailable("The job index does not answer."), InvalidInput("unstorable")])
async def test_an_entry_that_cannot_be_written_is_logged_and_harms_nobody(
    app_with: Callable[..., FastAPI], fault: Exception
) -> None:
    class Lost:
        async def add(self, *entries: AuditEntry) -> None:
            raise fault

    async with over(app_with(audit=AuditLog(Lost(), SEALER, clock=now)), **ADMIN) as client:
        with capture_logs() as logs:
            answer = await client.post("/v1/jobs/job_x/cancel")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    (line,) = [line for line in logs if line["event"] == "audit_not_written"]
    assert (line["action"], line["actor"], line["status"]) == ("POST /v1/jobs/{job_id}/cancel", "admin", 404)
    assert line["request"] == answer.headers["X-Request-ID"]


async def test_the_answer_does_not_wait_for_its_entry(
    app_with: Callable[..., FastAPI],
) -> None:
    report: list[str] = []

    class Slow:
        async def add(self, *entries: AuditEntry) -> None:
            report.append("written")

    app = app_with(audit=AuditLog(Slow(), SEALER, clock=now))

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body"):
            report.append("answered")

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    headers = [(name.lower().encode(), value.encode()) for name, value in ADMIN.items()]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/jobs/job_x/cancel",
        "raw_path": b"/v1/jobs/job_x/cancel",
        "query_string": b"",
        "headers": headers,
        "client": None,
        "server": ("testserver", 80),
        "scheme": "http",
        "http_version": "1.1",
        "root_path": "",
    }
    await app(scope, receive, send)
    assert report == ["answered", "written"]


async def test_a_secret_in_a_path_is_not_kept(client: httpx2.AsyncClient, key: Issue) -> None:
    headers = await key(owner="audited-five")
    token = (await issued(client))["api_key"]
    await client.delete(f"{KEYS}/{token}", headers=headers)
    (entry,) = await trail(client, principal="audited-five")
    assert entry["path"] == f"{KEYS}/dvr_sk_live_…"
    await client.post("/v1/" + "ü" * 2000, headers=headers)
    longest = (await trail(client, principal="audited-five"))[0]["path"]
    assert longest.startswith("/v1/%C3%BC")
    assert len(longest) == 500
