"""Five surfaces in one application: each path is one route's, and each surface has a document of its own."""

import re
from collections import Counter

import httpx2
import pytest
from fastapi import FastAPI
from starlette.routing import BaseRoute

from api.surfaces import SURFACES, surface_of
from tests.ledger import ledger


def patterns(app: FastAPI) -> list[str]:
    """`METHOD /path/{}` of every route, parameters without their names."""
    found = []
    for surface in SURFACES:
        for router in surface.routers:
            found += [line for route in router.routes for line in _lines(route)]
    return found


def _lines(route: BaseRoute) -> list[str]:
    path = "/".join("{}" if part.startswith("{") else part for part in str(getattr(route, "path", "")).split("/"))
    return [f"{method} {path}" for method in getattr(route, "methods", None) or ["WS"]]


@ledger("C-01")
def test_no_two_routes_answer_the_same_request(app: FastAPI):
    repeated = [line for line, times in Counter(patterns(app)).items() if times > 1]
    assert repeated == []


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
        assert document["info"]["title"] == surface.title
        assert document["paths"]
        page = await client.get(f"/docs/{surface.name}")
        assert page.status_code == 200
        assert surface.title in page.text


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
def test_every_documented_operation_exists(app: FastAPI, operation: str):
    outside = {f"{method} {path}" for path, methods in _probes(app).items() for method in methods}
    assert operation in {*patterns(app), *outside}


def test_the_list_has_every_operation_and_channel():
    assert len(DOCUMENTED) == len(set(DOCUMENTED)) == 59  # 53 distinct, 3 sockets, 3 that are only implied


def _probes(app: FastAPI) -> dict[str, list[str]]:
    """What the application itself serves, outside of every surface: probes and metrics."""
    paths = app.openapi()["paths"]
    return {path: [method.upper() for method in methods] for path, methods in paths.items() if path.count("/") == 1}
