"""The document of the AgentOrchestra surface against the running API, request by request (O-001, O-051)."""

import asyncio
import re
from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI

from api.dialects.agentorchestra.document import served
from api.dialects.agentorchestra.surface import AGENTORCHESTRA
from orchestrator.services.access.authentication import ADMIN as BOOTSTRAP
from orchestrator.testing import Engine
from tests.api.conftest import ADMIN, over
from tests.api.explored import ACCEPTED, faults
from tests.ledger import ledger

EXAMPLES = 15
ENDLESS = "/dashboard/real-time"
REFUSALS = {
    "/executions": "the configuration may hold anything, but not everything can be executed",
    "/executions/{id}": "depends on the execution's state",
    "/webhooks": "the URL is well-formed and its host public, and there is a most of webhooks",
}


def operations() -> list[tuple[str, str]]:
    return [(method, path) for path, methods in served()["paths"].items() for method in methods]


@ledger("O-001", "O-002", "O-003", "O-004", "O-007", "O-008", "O-018", "O-050", "O-051", "C-08", "C-10", "C-15")
async def test_the_document_is_the_seeds_with_every_error(app: FastAPI):
    async with over(app) as client:
        answer = await client.get("/api/openapi.json")
        page = await client.get("/docs/agentorchestra")
    document = answer.json()
    assert (document["openapi"], document["info"]["title"], document["info"]["version"]) == (
        "3.0.3",
        "AgentOrchestra API",
        "1.0.0",
    )
    assert document["info"]["contact"]["email"] == "support@agentorchestra.dev"
    assert document["info"]["license"]["name"] == "MIT"
    assert [server["url"] for server in document["servers"]] == [
        "/api",
        "https://api.agentorchestra.dev",
        "http://localhost:3000/api",
    ]
    assert [tag["name"] for tag in document["tags"]] == [
        "Agents",
        "Executions",
        "Configurations",
        "Webhooks",
        "Analytics",
        "System",
    ]
    assert len(operations()) == 18
    assert len(document["components"]["schemas"]["Framework"]["enum"]) == 11
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            wanted = {"500"} if path == "/health" else {"400", "401", "403", "404", "429", "500", "503"}
            assert wanted <= set(operation["responses"]), (method, path)
    assert "/api/openapi.json" in page.text


@ledger("C-01", "O-008")
def test_every_operation_of_the_document_is_served_below_api():
    routes = {
        (method.lower(), re.sub(r"^/api", "", route.path))
        for router in AGENTORCHESTRA.routers
        for route in router.routes
        for method in route.methods
    }
    assert routes - {("get", "/openapi.json")} == set(operations())


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def known(app: FastAPI, running: Engine) -> AsyncIterator[dict[str, str]]:
    """An agent with an execution that has ended."""
    async with over(app, **ADMIN) as client:
        agent = (await client.post("/api/agents", json={"name": "Scout", "framework": "orca"})).json()["id"]
        started = await client.post("/api/executions", json={"agentId": agent})
        execution = started.json()["executionId"]
        await running.services.follower.until_end(BOOTSTRAP, execution, 30)
        yield {"agent": agent, "execution": execution}


@pytest.mark.parametrize(("method", "path"), [one for one in operations() if one[1] != ENDLESS])
@ledger("O-048", "O-049", "O-051", "C-15", "C-36")
async def test_the_document_is_kept(live: httpx2.AsyncClient, known: dict[str, str], method: str, path: str):
    url = str(live.base_url).rstrip("/") + "/api"
    # Nothing that is known may be deleted.
    kind = "agent" if path.startswith("/agents") else "execution"
    ids = ["agent_0"] if method == "delete" and kind == "agent" else [known[kind]]
    checks = {
        "positive_data_acceptance": {"expected-statuses": ACCEPTED + ["400"] * (path in REFUSALS)},
        # The document calls a stream a string, the tool judges its events one by one.
        "response_schema_conformance": {"enabled": not path.endswith("/stream")},
    }
    found = await asyncio.to_thread(
        faults,
        {**served(), "servers": []},  # at the address of the test
        url,
        (method.upper(), path),
        examples=EXAMPLES,
        known={"path.id": ids, "body.agentId": [known["agent"]]},
        checks=checks,
    )
    if path == "/webhooks":
        for webhook in (await live.get("/api/webhooks")).json()["webhooks"]:
            await live.delete(f"/v1/webhooks/{webhook['id']}")
    assert not found, "\n\n".join(found)
