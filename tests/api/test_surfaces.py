"""Five surfaces in one application: each path is one route's, and each surface has a document of its own."""

import re
from re import Pattern

import httpx2
import pytest
from starlette.routing import Route, WebSocketRoute

from api import documents, health
from api.dialects.surface import Surface
from api.openapi import TITLE, document_of
from api.surfaces import SURFACES, surface_of
from api.v1.surface import DEVORA
from tests.ledger import ledger


def operations() -> list[tuple[str, str, Pattern[str]]]:
    """Method, path and what the path matches, of every route, in the order in which they are asked."""
    routers = [health.router, documents.router, *(router for surface in SURFACES for router in surface.routers)]
    return [
        (method, route.path, route.path_regex)
        for router in routers
        for route in router.routes
        if isinstance(route, Route | WebSocketRoute)
        for method in sorted(getattr(route, "methods", None) or ["WS"])
    ]


@ledger("C-01", "C-02", "C-03")
def test_no_route_answers_what_another_one_declares():
    found = operations()
    assert len(found) > 80
    shadowed = [
        (method, path, earlier)
        for place, (method, path, _) in enumerate(found)
        for other, earlier, matches in found[:place]
        if method == other and matches.fullmatch(re.sub(r"{[^}]+}", "any", path))
    ]
    assert shadowed == []


@ledger("C-07")
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/jobs", "devora"),
        ("/v1", "devora"),
        ("/api/v1/execute-workflow", "orchestrator"),
        ("/api/v2/execute-workflow", "orchestrator"),
        ("/nothing", "orchestrator"),
        ("/v12", "orchestrator"),
    ],
)
def test_the_longest_prefix_words_an_error(path: str, name: str):
    assert surface_of(path).name == name


@ledger("C-08", "D-109")
async def test_each_surface_has_a_document_and_a_page(client: httpx2.AsyncClient):
    docs = (await client.get("/docs")).text
    for surface in SURFACES:
        assert f'href="/docs/{surface.name}"' in docs
        document = (await client.get(surface.document or f"/openapi/{surface.name}.json")).json()
        assert document["info"]["title"] == (TITLE if surface is DEVORA else surface.title)
        assert document["paths"]
        page = await client.get(f"/docs/{surface.name}")
        assert page.status_code == 200
        assert surface.title in page.text


@ledger("C-08")
async def test_the_document_of_the_application_is_that_of_the_native_surface(client: httpx2.AsyncClient):
    document = (await client.get("/openapi.json")).json()
    assert (await client.get("/openapi/devora.json")).json() == document
    assert {path for path in document["paths"] if not path.startswith("/v1/")} == {"/healthz", "/readyz", "/metrics"}
    page = (await client.get("/docs")).text
    assert "url: '/openapi.json'" in page


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_operations_are_named_after_functions(surface: Surface):
    names = [
        operation["operationId"] for methods in document_of(surface)["paths"].values() for operation in methods.values()
    ]
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*[0-9]?", name) for name in names), names
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("path", ["/docs/nothing", "/openapi/nothing.json"])
async def test_an_unknown_surface_is_not_found(client: httpx2.AsyncClient, path: str):
    answer = await client.get(path)
    assert answer.status_code == 404
    assert "devora" in answer.json()["detail"]


DOCUMENTED = re.findall(
    r"^[A-Z]+ /.*$",
    """
POST /v1/auth/api-keys
GET /v1/agents
GET /v1/agents/{}
POST /v1/agents/{}/execute
GET /v1/agents/{}/health
GET /v1/workflows
GET /v1/workflows/{}
POST /v1/workflows/{}/run
GET /v1/jobs
GET /v1/jobs/{}
POST /v1/jobs/{}/cancel
GET /v1/jobs/{}/output
GET /v1/metrics
GET /v1/metrics/agents/{}
POST /v1/webhooks
WS /v1/ws
POST /execute-workflow
GET /workflow-status/{}
GET /workflow-types
GET /health
GET /metrics
POST /custom/execute
POST /protected/execute-workflow
POST /api/v1/execute-workflow
POST /api/v2/execute-workflow
WS /ws/{}
POST /chat/v2/chat
POST /chat/v1/chat
POST /chat/v2/webhooks
WS /chat/ws/{}/{}
GET /readiness
POST /api/v1/auth/login
POST /api/v1/auth/refresh
GET /api/v1/orchestration/health
GET /api/v1/orchestration/metrics
POST /api/v1/orchestration/decisions
GET /api/v1/orchestration/partnerships
GET /api/v1/orchestration/status
GET /api/v1/orchestration/config
GET /api/v1/orchestration/deployment/readiness
GET /api/v1/orchestration/docs/endpoints
GET /api/agents
POST /api/agents
GET /api/agents/{}
PUT /api/agents/{}
DELETE /api/agents/{}
GET /api/executions
POST /api/executions
GET /api/executions/{}
DELETE /api/executions/{}
GET /api/executions/{}/logs
GET /api/executions/{}/stream
GET /api/configurations
POST /api/configurations
GET /api/webhooks
POST /api/webhooks
GET /api/dashboard/metrics
GET /api/dashboard/real-time
GET /api/health
""",
    re.MULTILINE,
)


@pytest.mark.parametrize("operation", DOCUMENTED)
def test_every_documented_operation_exists(operation: str):
    assert operation in {f"{method} {re.sub(r'{[^}]+}', '{}', path)}" for method, path, _ in operations()}


def test_the_list_has_every_operation_and_channel():
    assert len(DOCUMENTED) == len(set(DOCUMENTED)) == 59  # 53 distinct, 3 sockets, 3 that are only implied
