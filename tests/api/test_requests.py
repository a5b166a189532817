"""What every surface says of a request that it cannot take: whose fault, which field, why, and under which id."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from structlog.testing import capture_logs

import api.routes
from api.app import create_app
from api.dialects.surface import Surface
from api.hardening import ApiOptions
from api.middleware import SMALL_BODY_BYTES
from api.routes import ANY_QUERY
from api.surfaces import SURFACES, surface_of
from api.validation import InvalidRequest
from orchestrator.domain.errors import NotFound, Unavailable
from orchestrator.testing import Engine
from tests.api.conftest import ADMIN, Fixed, over, served
from tests.api.surface_documents import operations
from tests.api.test_errors import Broken
from tests.ledger import ledger

HOOK = {"url": "https://example.com/hook", "events": ["job.completed"]}
RUN = {"requirements": "Test", "workflow_type": "full"}
AGENT = {"name": "a", "framework": "crewai"}
MISSING = "missing"
OVERLAPS = "one of 'skip', "
WITH_ID = {"devora", "ai_orchestra", "orchestrator"}
# For each route with a body: a body that fits, and for each kind of fault the field, its value, and what is expected.
BODIES: dict[tuple[str, str], tuple[dict[str, Any], list[tuple[str, Any, str]]]] = {
    ("POST", "/v1/agents/{agent_id}/execute"): (
        {"input": {}},
        [
            ("input", MISSING, "object"),
            ("input", [], "object"),
            ("async", "yes", "boolean"),
            ("config.temperature", 3, "at most 2"),
        ],
    ),
    ("POST", "/v1/workflows/{workflow_id}/run"): (
        {"input": {}},
        [("input", MISSING, "object"), ("config", 1, "object"), ("webhook_url", "x", "an http or https URL in ASCII")],
    ),
    ("POST", "/v1/jobs/{job_id}/cancel"): (
        {},
        [("reason", 1, "string"), ("reason", "x" * 1001, "at most 1000 characters")],
    ),
    ("POST", "/v1/jobs/{job_id}/pause"): ({}, [("note", 1, "string")]),
    ("POST", "/v1/jobs/{job_id}/resume"): ({}, [("note", 1, "string")]),
    ("POST", "/v1/jobs/{job_id}/retry"): ({}, []),
    ("POST", "/v1/jobs/{job_id}/approve"): ({}, [("step", 1, "string")]),
    ("POST", "/v1/jobs/{job_id}/reject"): ({}, [("step", 1, "string")]),
    ("POST", "/v1/jobs/{job_id}/answers"): (
        {"step": "address", "values": {}},
        [("step", MISSING, "string"), ("values", [], "object"), ("note", 1, "string")],
    ),
    ("POST", "/v1/jobs/{job_id}/signals/{name}"): ({"input": {}}, []),
    ("POST", "/v1/schedules"): (
        {"workflow_id": "market_research", "input": {}, "spec": {"cron": ["@daily"]}},
        [
            ("input", MISSING, "object"),
            ("spec", MISSING, "object"),
            ("overlap", "queue", OVERLAPS),
            ("spec.jitter_seconds", -1, "at least 0"),
            ("paused", "x", "boolean"),
        ],
    ),
    ("PATCH", "/v1/schedules/{schedule_id}"): ({}, [("name", 1, "string"), ("overlap", "queue", OVERLAPS)]),
    ("POST", "/v1/schedules/{schedule_id}/pause"): ({}, [("note", 1, "string")]),
    ("POST", "/v1/schedules/{schedule_id}/unpause"): ({}, [("note", 1, "string")]),
    ("POST", "/v1/schedules/{schedule_id}/trigger"): ({}, [("overlap", "queue", OVERLAPS)]),
    ("POST", "/v1/schedules/{schedule_id}/backfill"): (
        {"start_at": "2027-01-01T00:00:00Z", "end_at": "2027-01-02T00:00:00Z"},
        [("start_at", MISSING, "string"), ("overlap", "queue", OVERLAPS)],
    ),
    ("POST", "/v1/webhooks"): (
        HOOK,
        [("url", MISSING, "string"), ("events", MISSING, "array"), ("events", [], "at least 1 items")],
    ),
    ("PATCH", "/v1/webhooks/{webhook_id}"): ({}, [("active", "x", "boolean")]),
    ("POST", "/v1/webhooks/{webhook_id}/rotate-secret"): ({}, [("overlap_seconds", -1, "at least 0")]),
    ("POST", "/v1/auth/api-keys"): (
        {"name": "k", "scopes": ["jobs:read"]},
        [
            ("name", MISSING, "string"),
            ("scopes", MISSING, "array"),
            ("tier", "gold", "one of 'free', 'pro', 'business', 'enterprise' or 'public'"),
            ("expires_in", 0, "at least 1"),
        ],
    ),
    ("PATCH", "/v1/auth/api-keys/{key_id}"): (
        {},
        [("tier", "gold", "one of 'free', 'pro', 'business', 'enterprise' or 'public'")],
    ),
    ("POST", "/v1/auth/api-keys/{key_id}/rotate"): ({}, [("overlap_seconds", "x", "integer")]),
    ("POST", "/v1/users"): (
        {"username": "u", "password": "longenough", "roles": ["admin"]},
        [("username", MISSING, "string"), ("roles", MISSING, "array"), ("password", "x", "at least 8 characters")],
    ),
    ("POST", "/chat/v2/chat"): (
        {"message": "hi"},
        [
            ("message", MISSING, "string"),
            ("message", 1, "string"),
            ("message", "", "at least 1 characters"),
            ("optimization_mode", "fast", "one of 'lite', 'balanced' or 'quality'"),
            ("use_memory", "x", "boolean"),
        ],
    ),
    ("POST", "/chat/v1/chat"): ({"text": "hi", "sessionId": "s"}, [("text", MISSING, "string"), ("text", 1, "string")]),
    ("POST", "/chat/v2/webhooks"): (
        HOOK,
        [("url", MISSING, "string"), ("events", MISSING, "array"), ("events", "x", "array")],
    ),
    ("POST", "/api/agents"): (
        AGENT,
        [
            ("name", MISSING, "string"),
            ("framework", MISSING, "string"),
            ("framework", "x", "one of "),
            ("name", "x" * 101, "at most 100 characters"),
            ("isActive", "x", "boolean"),
        ],
    ),
    ("PUT", "/api/agents/{id}"): ({}, [("name", 1, "string")]),
    ("POST", "/api/executions"): (
        {"agentId": "a"},
        [("agentId", MISSING, "string"), ("trigger", "x", "one of 'manual', 'scheduled' or 'webhook'")],
    ),
    ("POST", "/api/configurations"): (
        {**AGENT, "configuration": {}},
        [("configuration", MISSING, "object"), ("name", MISSING, "string")],
    ),
    ("POST", "/api/webhooks"): (HOOK, [("url", MISSING, "string"), ("events", [], "at least 1 items")]),
    ("POST", "/api/v1/auth/login"): (
        {"username": "u", "password": "p"},
        [("username", MISSING, "string"), ("password", MISSING, "string"), ("username", 1, "string")],
    ),
    ("POST", "/api/v1/auth/refresh"): ({"refresh_token": "x"}, [("refresh_token", MISSING, "string")]),
    ("POST", "/api/v1/orchestration/decisions"): (
        {"context": {}},
        [("context", MISSING, "object"), ("context", "x", "object")],
    ),
    **{
        ("POST", path): (
            RUN,
            [
                ("requirements", MISSING, "string"),
                ("workflow_type", MISSING, "string"),
                ("requirements", 1, "string"),
                ("priority", "urgent", "text that matches ^(low|normal|high|critical)$"),
                ("workflow_type", "x" * 201, "at most 200 characters"),
            ],
        )
        for path in (
            "/execute-workflow",
            "/api/v1/execute-workflow",
            "/api/v2/execute-workflow",
            "/protected/execute-workflow",
            "/custom/execute",
        )
    },
}


def routes() -> Iterator[tuple[Surface, str, APIRoute]]:
    for surface in SURFACES:
        for router in surface.routers:
            for route in router.routes:
                if isinstance(route, APIRoute):
                    for method in sorted(route.methods):
                        yield surface, method, route


def filled(path: str) -> str:
    """The path with an id for each part that asks for one."""
    for name in (
        "agent_id",
        "workflow_id",
        "job_id",
        "webhook_id",
        "schedule_id",
        "key_id",
        "name",
        "delivery_id",
        "session_id",
        "username",
    ):
        path = path.replace(f"{{{name}}}", "job_x" if name == "job_id" else "x")
    return path.replace("{id}", "job_x" if "executions" in path else "x")


def with_fault(body: dict[str, Any], field: str, value: Any) -> dict[str, Any]:
    outer, _, inner = field.partition(".")
    if value is MISSING:
        return {name: known for name, known in body.items() if name != outer}
    return {**body, outer: {inner: value} if inner else value}


def reason(surface: str, answer: httpx2.Response, field: str) -> str:
    """What the surface says of the field, from the places where its document has it."""
    body = answer.json()
    match surface:
        case "devora":
            error = body["error"]
            assert set(error) == {"code", "message", "details", "request_id", "timestamp"}
            assert (error["code"], error["details"]["field"]) == ("invalid_request", field)
            assert field in error["message"]
            said = error["details"]["expected"]
        case "ai_orchestra":
            assert set(body) == {"success", "data", "metadata", "error"}
            assert (body["success"], body["data"]) == (False, None)
            error = body["error"]
            assert (error["code"], error["message"]) == ("VALIDATION_ERROR", "Invalid request parameters")
            assert set(error["details"]) == {"field", "reason"}
            assert error["details"]["field"] == field
            said = error["details"]["reason"]
        case "agentorchestra":
            assert set(body) == {"error", "message", "details"}
            assert (body["error"], body["details"]["field"]) == ("BadRequest", field)
            assert field in body["message"]
            said = body["details"]["expected"]
        case "devskyy":
            assert set(body) == {"detail", "error", "message"}
            assert (body["error"], body["detail"]) == ("Bad Request", body["message"])
            assert field in body["message"]
            said = body["message"]
        case _:
            assert set(body) == {"error", "message", "details", "timestamp", "request_id", "detail"}
            assert (body["error"], body["details"]["field"]) == ("VALIDATION_ERROR", field)
            assert body["detail"][0]["loc"] == ["body", *field.split(".")]
            said = body["details"]["issue"]
    return str(said)


async def sent(client: httpx2.AsyncClient, method: str, path: str, **more: Any) -> httpx2.Response:
    return await client.request(method, filled(path), **more)


def test_the_table_holds_every_route_that_takes_a_body():
    taking = {(method, route.path) for _, method, route in routes() if route.body_field is not None}
    assert set(BODIES) == taking


@ledger("D-029", "D-096", "A-011", "A-016", "S-021", "O-048", "M-024", "M-044")
@pytest.mark.parametrize(
    ("method", "path", "fault"),
    [(*key, fault) for key, (_, faults) in BODIES.items() for fault in faults],
)
async def test_a_field_that_does_not_fit_is_reported_in_the_words_of_the_surface(
    client: httpx2.AsyncClient, method: str, path: str, fault: tuple[str, Any, str]
):
    field, value, expected = fault
    surface = surface_of(path).name
    answer = await sent(client, method, path, json=with_fault(BODIES[method, path][0], field, value))
    assert answer.status_code == (422 if surface == "orchestrator" else 400), answer.text
    said = reason(surface, answer, field)
    assert "a value" not in said
    missing = {
        "ai_orchestra": "Required field missing",
        "devskyy": f"Missing required field: {field}",
        "orchestrator": "required field missing",
    }
    assert (missing.get(surface, expected) if value is MISSING else expected) in said


@ledger("A-011")
async def test_a_message_that_is_missing_is_answered_as_the_document_prints(client: httpx2.AsyncClient):
    answer = await client.post("/chat/v2/chat", json={"session_id": "s"})
    assert answer.status_code == 400
    assert answer.json()["error"] == {
        "code": "VALIDATION_ERROR",
        "message": "Invalid request parameters",
        "details": {"field": "message", "reason": "Required field missing"},
    }


@pytest.mark.parametrize(("method", "path"), [(method, route.path) for _, method, route in routes()])
async def test_a_query_parameter_that_is_not_known_is_refused_by_name(
    client: httpx2.AsyncClient, method: str, path: str
):
    body = BODIES.get((method, path), (None,))[0]
    answer = await sent(client, method, path, json=body, params={"colour": "blue"})
    if path in ANY_QUERY:
        assert answer.status_code in (200, 503)
        return
    assert answer.status_code == 400
    assert "colour" in answer.text
    assert "blue" not in answer.text


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"])
async def test_probes_and_documents_take_any_query(client: httpx2.AsyncClient, path: str):
    assert (await client.get(path, params={"_": "1700000000"})).status_code == 200


@ledger("D-010", "S-021")
@pytest.mark.parametrize("fault", [{"content": b"{"}, {"params": {"colour": "blue"}}, {"json": {"x": 1}}])
async def test_who_the_caller_is_comes_before_what_is_wrong_with_the_request(app: FastAPI, fault: dict[str, Any]):
    secured = {"/v1/agents/x/execute", "/chat/v2/chat", "/api/agents", "/api/v1/orchestration/decisions"}
    async with over(app, **{"Content-Type": "application/json"}) as stranger:
        for path in secured | {"/protected/execute-workflow"}:
            assert (await stranger.post(path, **fault)).status_code == 401, path


def id_in_body(surface: str, answer: httpx2.Response) -> str | None:
    """The request's id in the body; None on the surfaces whose document has none."""
    body = answer.json()
    match surface:
        case "devora":
            return body["error"]["request_id"]
        case "ai_orchestra":
            return body["metadata"]["request_id"]
        case "orchestrator":
            return body["request_id"]
        case _:
            return None


def refused(method: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Requests that no route takes, whatever it does."""
    yield 414, {"params": {"a": "x" * 9000}}
    yield 431, {"headers": {"X-Large": "x" * 33_000}}
    yield 400, {"params": [(f"p{number}", "") for number in range(101)]}
    yield 401, {"headers": {"Authorization": "Bearer wrong"}}
    if method in ("POST", "PUT", "PATCH"):
        yield 400, {"content": b"{", "headers": {"Content-Type": "application/json"}}
        yield 415, {"content": b"\x1f\x8b", "headers": {"Content-Encoding": "gzip"}}
        yield 413, {"content": b"x" * (8 * 1024 * 1024 + 1)}


@pytest.mark.parametrize("given", [None, "mine", "0b1d3a3c-6a1e-4f7b-9a29-0c8c1f3f7a10", "not usable"])
async def test_the_id_in_the_body_is_that_of_the_header(client: httpx2.AsyncClient, given: str | None):
    mine = {} if given is None else {"X-Request-ID": given}
    seen: set[int] = set()
    for _, method, route in routes():
        for status, request in refused(method):
            headers = {**request.get("headers", {}), **mine}
            answer = await sent(client, method, route.path, **{**request, "headers": headers})
            if answer.status_code != status:  # nobody reads its body, or asks who the caller is
                assert status in (400, 401, 413, 415), (route.path, status, answer.text)
                continue
            seen.add(status)
            header = answer.headers["X-Request-ID"]
            assert (header == given) is (given not in (None, "not usable"))
            wording = surface_of(route.path).name  # a shared path such as /health has one, on any surface
            report = id_in_body(wording, answer)
            assert report == (header if wording in WITH_ID else None), route.path
    assert seen == {400, 401, 413, 414, 415, 431}


async def test_only_what_starts_a_job_takes_a_large_body(client: httpx2.AsyncClient):
    content = b'{"x": "' + b"x" * SMALL_BODY_BYTES + b'"}'
    large = set()
    for _, method, route in routes():
        if method in ("POST", "PUT", "PATCH") and route.body_field is not None:
            answer = await sent(
                client, method, route.path, content=content, headers={"Content-Type": "application/json"}
            )
            if answer.status_code != 413:
                large.add(route.path)
    assert large == {
        "/v1/agents/{agent_id}/execute",
        "/v1/workflows/{workflow_id}/run",
        "/chat/v1/chat",
        "/chat/v2/chat",
        "/api/executions",
        "/api/v1/orchestration/decisions",
        "/execute-workflow",
        "/api/v1/execute-workflow",
        "/api/v2/execute-workflow",
        "/protected/execute-workflow",
        "/custom/execute",
    }


@pytest.mark.parametrize("path", ["/v1/nothing", "/chat/nothing", "/api/nothing", "/api/v1/auth/nothing", "/nothing"])
async def test_a_path_that_does_not_exist_is_answered_with_the_id_of_the_header(client: httpx2.AsyncClient, path: str):
    surface = surface_of(path).name
    for headers in ({}, {"X-Request-ID": "mine"}):
        for answer in (await client.get(path, headers=headers), await client.patch("/v1/agents", headers=headers)):
            where = surface if answer.status_code == 404 else "devora"
            assert answer.status_code in (404, 405)
            assert id_in_body(where, answer) in (None, answer.headers["X-Request-ID"])


@pytest.mark.parametrize(("fault", "status"), [(RuntimeError("x"), 500), (Unavailable("x"), 503), (NotFound("x"), 404)])
async def test_a_fault_behind_the_routes_is_answered_with_the_id_of_the_header(fault: Exception, status: int):
    async with over(create_app(Broken(fault)), **ADMIN) as client:
        for surface, method, route in routes():
            with capture_logs():  # a traceback for each route would take longer than the rest
                answer = await sent(client, method, route.path, json=BODIES.get((method, route.path), (None,))[0])
            if route.path in ANY_QUERY:
                continue
            assert (answer.status_code, answer.text[:1]) == (status, "{"), (route.path, answer.text)
            assert id_in_body(surface.name, answer) in (None, answer.headers["X-Request-ID"])


@ledger("C-25")
@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip"])
async def test_a_compressed_body_is_refused_by_the_name_of_its_header(client: httpx2.AsyncClient, encoding: str):
    headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
    for path in ("/v1/agents/t_echo/execute", "/chat/v2/chat", "/api/agents", "/api/v1/auth/login", "/custom/execute"):
        answer = await client.post(path, content=b"\x1f\x8b\x08", headers=headers)
        assert answer.status_code == 415
        assert "Content-Encoding" in answer.text
        assert encoding in answer.text
    plain = {**headers, "Content-Encoding": "identity"}
    answer = await client.post("/v1/agents/t_echo/execute", json={"input": {}, "async": True}, headers=plain)
    assert answer.status_code == 202


READABLE = ("/healthz", "/readyz", "/health", "/readiness", "/api/health", "/metrics", "/docs", "/openapi.json")


@pytest.mark.parametrize("path", [*READABLE, "/v1/agents", "/v1/jobs?limit=1", "/workflow-types", "/api/agents"])
async def test_head_is_get_without_a_body(live: httpx2.AsyncClient, path: str):
    got, head = await live.get(path), await live.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    varying = {"date", "x-request-id", "x-ratelimit-remaining", "x-ratelimit-reset", "content-length"}
    kept = {name: value for name, value in got.headers.items() if name not in varying}
    assert {name: value for name, value in head.headers.items() if name not in varying} == kept
    assert set(head.headers) == set(got.headers)


async def test_head_is_refused_as_get_is_and_starts_no_stream(running: Engine, live: httpx2.AsyncClient):
    job_id = (await running.run("t_echo", {})).id
    assert (await live.head("/v1/nothing")).status_code == 404
    assert (await live.head("/v1/jobs", headers={"Authorization": "Bearer wrong"})).status_code == 401
    assert (await live.head(f"/v1/jobs/{job_id}/cancel")).status_code == 405
    for path in (f"/v1/jobs/{job_id}/events", "/api/dashboard/real-time"):
        answer = await live.head(path, headers={"Accept": "text/event-stream"})
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert not [path for method, path in operations() if method == "HEAD"]


@pytest.mark.parametrize("asked", ["/v1/agents/t_echo/execute", "/orchestrator/v1/agents/t_echo/execute"])
async def test_a_path_prefix_is_in_links_location_and_documents(running: Engine, asked: str):
    options = ApiOptions(root_path="/orchestrator")
    async with over(create_app(Fixed(running.services), options=lambda: options), **ADMIN) as client:
        answer = await client.post(asked, json={"input": {}, "async": True})
        assert answer.status_code == 202
        job_id = answer.json()["job_id"]
        assert answer.headers["Location"] == f"/orchestrator/v1/jobs/{job_id}"
        assert answer.json()["links"]["events"] == f"/orchestrator/v1/jobs/{job_id}/events"
        assert (await client.get(answer.headers["Location"])).json()["links"]["self"] == answer.headers["Location"]
        missing = await client.get("/orchestrator/chat/nothing")
        assert missing.json()["error"]["code"] == "VALIDATION_ERROR"
        for page in ("/docs", "/redoc", "/docs/devora"):
            assert "/orchestrator/openapi" in (await client.get(page)).text
        assert (await client.get("/orchestrator/openapi.json")).json()["servers"][0]["url"] == "/orchestrator"
        assert (await client.get("/openapi/devora.json")).json()["servers"][0]["url"] == "/orchestrator"
        assert (await client.get("/api/openapi.json")).json()["servers"][0]["url"] == "/orchestrator/api"
    async with over(create_app(Fixed(running.services)), **ADMIN) as client:
        assert [server["url"] for server in (await client.get("/openapi.json")).json()["servers"]] == ["/"]


async def test_a_job_that_is_cancelled_twice_is_cancelled(running: Engine, client: httpx2.AsyncClient):
    agent = (await client.post("/api/agents", json={"name": "n", "framework": "crewai"})).json()
    execution = (await client.post("/api/executions", json={"agentId": agent["id"]})).json()["executionId"]
    first = await client.delete(f"/api/executions/{execution}")
    done = await client.get(f"/api/executions/{execution}")
    again = await client.delete(f"/api/executions/{execution}")
    await client.delete(f"/api/agents/{agent['id']}")
    if done.json()["status"] == "CANCELLED":
        assert (first.status_code, again.status_code) == (200, 200)
    else:  # it was quicker than the cancel
        assert again.status_code == 400
    ended = (await running.run("t_echo", {})).id
    assert (await client.post(f"/v1/jobs/{ended}/cancel")).status_code == 400


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/ws?colour=blue", 400),
        ("/v1/nothing", 404),
        ("/ws/0b1d3a3c-6a1e-4f7b-9a29-0c8c1f3f7a10?colour=blue", 400),
        ("/v1/ws?" + "&" * 100, 400),
    ],
)
async def test_a_refused_handshake_is_answered_with_words_and_an_id(
    app: FastAPI, running: Engine, path: str, status: int
):
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "X-Request-ID": "mine",
    }
    async with served(create_app(Fixed(running.services))) as url, httpx2.AsyncClient(base_url=url) as client:
        answer = await client.get(path, headers=handshake)
    assert answer.status_code == status
    assert answer.headers["X-Request-ID"] == id_in_body(surface_of(path).name, answer) == "mine"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/agents", '{"name":"a","framework":"crewai","tags":[1%s]}', "tags"),
        ("/v1/auth/api-keys", '{"name":"a","scopes":["x"%s]}', "scopes"),
        ("/v1/users", '{"username":"a","password":"longenough","roles":["x"%s]}', "roles"),
        ("/v1/agents/t_echo/execute", '{"input":{"x":[NaN%s]}}', "input"),
        ("/chat/v2/chat", '{"message":"a","user_context":{"x":[NaN%s]}}', "user_context"),
        (
            "/execute-workflow",
            '{"requirements":"a","workflow_type":"x","configuration":{"x":[NaN%s]}}',
            "configuration",
        ),
        ("/api/v1/orchestration/decisions", '{"context":{"x":[NaN%s]}}', "context"),
    ],
)
async def test_a_list_of_wrong_values_is_refused_at_the_first(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, path: str, body: str, field: str
):
    found: list[int] = []
    first = api.routes.invalid_request

    def counting(fault: RequestValidationError, schema: dict[str, Any]) -> InvalidRequest:
        found.append(len(fault.errors()))
        return first(fault, schema)

    monkeypatch.setattr(api.routes, "invalid_request", counting)
    many = body % (',"x"' * 2000 if "NaN" not in body else ",NaN" * 2000)
    answer = await client.post(path, content=many, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert found == [1]
    assert field in answer.text


async def test_an_object_of_many_unknown_fields_is_one_fault(client: httpx2.AsyncClient):
    answer = await client.post("/v1/agents/t_echo/execute", json={"input": {}, **{f"k{n}": 1 for n in range(2000)}})
    assert answer.json()["error"]["details"] == {
        "field": "body",
        "provided": answer.json()["error"]["details"]["provided"],
        "expected": "an object of known fields",
    }


@pytest.mark.parametrize(("number", "status"), [(50, 202), (50.0, 202), (50.5, 400), (True, 400), ("50", 400)])
async def test_a_whole_number_may_have_a_fraction_of_zero(client: httpx2.AsyncClient, number: Any, status: int):
    body = {"input": {}, "async": True, "config": {"max_tokens": number}}
    answer = await client.post("/v1/agents/t_echo/execute", json=body)
    assert answer.status_code == status, answer.text
    if status == 202:
        job = (await client.get(f"/v1/jobs/{answer.json()['job_id']}")).json()
        assert job["config"]["max_tokens"] == 50


async def test_an_unknown_parameter_names_the_one_that_was_meant(client: httpx2.AsyncClient):
    near = (await client.get("/v1/jobs", params={"labels": "a:b"})).json()["error"]
    assert near["message"] == "Unknown query parameter: labels. Did you mean 'label'?"
    far = (await client.get("/v1/jobs/job_1/events", params={"zzz": "1"})).json()["error"]
    assert far["message"].startswith("Unknown query parameter: zzz. Expected one of after, deltas, limit")
    none = (await client.get("/v1/agents", params={"zzz": "1"})).json()["error"]
    assert none["message"] == "Unknown query parameter: zzz. Expected no query parameters"
