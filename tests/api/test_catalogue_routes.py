"""Agents and workflows over HTTP."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import httpx2
import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator

from api.v1.catalogue import agent_health
from orchestrator.domain.metrics import AgentHealth
from orchestrator.plugins import BUILT_IN
from orchestrator.services.catalogue import Availability
from orchestrator.testing import Engine
from tests.api.conftest import ADMIN, over
from tests.ledger import ledger

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@ledger("D-016", "D-017", "D-018", "D-019")
async def test_agents_are_listed_with_their_availability(client: httpx2.AsyncClient):
    body = (await client.get("/v1/agents")).json()
    assert body["total"] == len(body["agents"]) >= 28
    assert (body["available"], body["unavailable"]) == (body["total"], 0)
    assert {agent.id for agent in BUILT_IN.agents if agent.listed} <= {agent["id"] for agent in body["agents"]}
    manager = next(agent for agent in body["agents"] if agent["id"] == "product_manager")
    assert set(manager) == {"id", "name", "squad", "description", "capabilities", "status", "health"}
    assert (manager["name"], manager["squad"], manager["status"]) == ("Product Manager", "business", "available")
    assert manager["capabilities"] == ["prd_generation", "user_stories", "roadmap", "prioritization"]
    assert manager["health"]["healthy"] is True
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", manager["health"]["last_check"])


@ledger("D-021", "D-022", "D-069")
async def test_one_agent_is_reported_in_full(client: httpx2.AsyncClient):
    agent = (await client.get("/v1/agents/product_manager")).json()
    schema = agent["input_schema"]
    Draft202012Validator.check_schema(schema)
    assert schema["required"] == ["task_type", "context"]
    assert schema["properties"]["task_type"]["enum"] == ["prd", "user_story", "roadmap", "prioritization"]
    assert schema["properties"]["context"]["description"] == "Description of the need"
    assert agent["output_schema"]["properties"]["output"]["type"] == "string"
    assert agent["config"] == {
        "default_model": "anthropic/claude-3.5-sonnet",
        "default_temperature": 0.7,
        "max_tokens": 4096,
    }
    assert agent["pricing"] == {"per_request": 0.05, "per_1k_tokens": 0.012}


@ledger("D-031")
async def test_an_agents_health_counts_its_runs(client: httpx2.AsyncClient):
    for _ in range(2):
        await client.post("/v1/agents/t_echo/execute", json={"input": {}})
    body = (await client.get("/v1/agents/t_echo/health")).json()
    assert set(body) == {"agent_id", "healthy", "last_execution", "avg_response_time", "error_rate", "uptime"}
    assert (body["agent_id"], body["healthy"], body["error_rate"], body["uptime"]) == ("t_echo", True, 0.0, 100.0)
    assert body["last_execution"] is not None
    assert body["avg_response_time"] >= 0


@pytest.mark.parametrize(
    ("counts", "available", "healthy", "rate", "uptime"),
    [
        ((0, 0), True, True, 0.0, 100.0),
        ((0, 0), False, False, 0.0, 0.0),
        ((200, 1), True, True, 0.5, 99.5),
        ((3, 1), True, True, 33.3, 66.7),
        ((2, 1), True, False, 50.0, 50.0),
        ((2, 0), False, False, 0.0, 100.0),
    ],
)
@ledger("D-031")
def test_health_is_reckoned_from_attempts(
    counts: tuple[int, int], available: bool, healthy: bool, rate: float, uptime: float
):
    health = AgentHealth(last_execution=None, avg_response_time=1.23456, executions=counts[0], failures=counts[1])
    body = agent_health("x", health, Availability(available, NOON))
    assert (body.healthy, body.error_rate, body.uptime, body.avg_response_time) == (healthy, rate, uptime, 1.235)


@ledger("D-032", "D-033", "D-034")
async def test_workflows_are_listed(client: httpx2.AsyncClient):
    body = (await client.get("/v1/workflows")).json()
    assert body["total"] == len(body["workflows"]) >= 10
    full = next(workflow for workflow in body["workflows"] if workflow["id"] == "full_stack_development")
    assert full == {
        "id": "full_stack_development",
        "name": "Full Stack Development",
        "description": "Complete development of an application",
        "squads": ["business", "frontend", "backend", "data", "qa", "devops"],
        "agents_count": full["agents_count"],
        "estimated_time": "20-40 minutes",
        "estimated_cost": "$1.00-$2.00",
        "complexity": "high",
    }
    assert full["agents_count"] > 6


@ledger("D-035", "D-036")
async def test_one_workflow_is_reported_step_by_step(client: httpx2.AsyncClient):
    workflow = (await client.get("/v1/workflows/api_development")).json()
    assert workflow["version"] == "1.0"
    assert [step["order"] for step in workflow["steps"]] == list(range(1, len(workflow["steps"]) + 1))
    first = workflow["steps"][0]
    assert (first["name"], first["squad"], first["agents"], first["estimated_time"]) == (
        "Requirements Analysis",
        "business",
        ["product_manager", "business_analyst"],
        "2-3 minutes",
    )
    assert workflow["input_schema"]["required"] == ["api_name", "description", "api_type"]
    Draft202012Validator.check_schema(workflow["output_schema"])
    approval = (await client.get("/v1/workflows/t_approval")).json()
    assert [(step["id"], step["needs"], step["approval"]) for step in approval["steps"]] == [
        ("a", [], False),
        ("b", ["a"], True),
        ("c", ["b"], False),
    ]


@pytest.mark.parametrize("path", ["/v1/agents/nobody", "/v1/agents/nobody/health", "/v1/workflows/nothing"])
@ledger("D-021", "D-035", "D-095")
async def test_an_unknown_entry_is_not_found(client: httpx2.AsyncClient, path: str):
    answer = await client.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


@ledger("D-016", "D-018")
async def test_without_a_worker_every_agent_is_unavailable(app_with: Callable[..., FastAPI], running: Engine):
    class Deserted:
        agents = running.services.catalogue.agents

        async def availability(self) -> Availability:
            return Availability(available=False, checked_at=NOON)

    async with over(app_with(catalogue=Deserted()), **ADMIN) as client:
        body = (await client.get("/v1/agents")).json()
    assert (body["available"], body["unavailable"]) == (0, body["total"])
    assert {agent["status"] for agent in body["agents"]} == {"unavailable"}
    assert body["agents"][0]["health"] == {"healthy": False, "last_check": "2026-01-02T12:00:00Z"}
