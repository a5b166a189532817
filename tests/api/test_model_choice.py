"""A model that no provider serves is refused on every surface, before anything is started."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from orchestrator.domain.model_choice import Providers
from orchestrator.services.jobs.models import ModelCheck
from orchestrator.testing import Engine
from tests.api.conftest import ADMIN, over
from tests.ledger import ledger

UNKNOWN = "foo:bar"
API = {"api_type": "rest", "api_name": "Tea", "description": "Tea", "requirements": ["tea"]}
Key = Callable[..., Awaitable[dict[str, str]]]
Make = Callable[..., FastAPI]


async def total(client: httpx2.AsyncClient) -> int:
    return int((await client.get("/v1/jobs", params={"limit": 1})).json()["total"])


@ledger("D-023", "D-037", "D-096")
@pytest.mark.parametrize(
    "path", ["/v1/agents/t_echo/execute", "/v1/agents/technical_writer/execute", "/v1/workflows/t_three/run"]
)
async def test_an_unknown_model_is_400_and_nothing_starts(client: httpx2.AsyncClient, path: str):
    before = await total(client)
    body = {
        "input": {"task_type": "guide", "subject": "Tea", "context": "Tea"},
        "config": {"model": UNKNOWN},
        "async": True,
    }
    answer = await client.post(path, json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "model_not_configured"), answer.text
    assert (error["details"]["field"], error["details"]["provided"]) == ("config.model", UNKNOWN)
    assert "ORCHESTRATOR_LLM_BASE_URL" in error["message"]
    assert await total(client) == before


@pytest.mark.parametrize("path", ["/execute-workflow", "/api/v1/execute-workflow", "/custom/execute"])
async def test_in_a_session(client: httpx2.AsyncClient, path: str):
    body = {"requirements": "Tea", "workflow_type": "t_three", "configuration": {"model": UNKNOWN}}
    answer = await client.post(path, json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"] == "INVALID_INPUT"
    assert answer.json()["details"]["field"] == "configuration.model"
    assert UNKNOWN in answer.json()["message"]


@pytest.mark.parametrize("place", ["agent", "execution"])
async def test_in_an_execution_of_a_users_agent(app: FastAPI, key: Key, place: str):
    chosen = {"model": UNKNOWN}
    async with over(app, **await key()) as user:
        body = {"name": "Scout", "framework": "crewai", "configuration": chosen if place == "agent" else {}}
        agent = (await user.post("/api/agents", json=body)).json()["id"]
        more = {"configuration": chosen} if place == "execution" else {}
        answer = await user.post("/api/executions", json={"agentId": agent, "input": {"n": 1}, **more})
        executions = (await user.get("/api/executions")).json()
    assert answer.status_code == 400, answer.text
    assert (answer.json()["error"], answer.json()["details"]["field"]) == ("BadRequest", "configuration.model")
    assert answer.json()["details"]["reason"] == "model_not_configured"
    assert executions["executions"] == []


def served_by(running: Engine, providers: Providers) -> dict[str, Any]:
    """Services that believe that these providers are configured."""
    services = running.services
    models = ModelCheck(running.parts.catalogue, providers)
    starter = replace(services.starter, models=models)
    return {
        "starter": starter,
        "conversations": replace(services.conversations, models=models),
        "decisions": replace(services.decisions, starter=starter),
    }


async def test_the_models_of_agents_are_checked_too(app_with: Make, running: Engine):
    """The agents' own models are Anthropic's: with a key of OpenAI alone, no call of them can be made."""
    async with over(app_with(**served_by(running, Providers(openai=True))), **ADMIN) as client:
        body = {"input": API, "async": True}
        job = await client.post("/v1/workflows/api_development/run", json=body)
        chat = await client.post("/chat/v2/chat", json={"message": "Hello", "optimization_mode": "lite"})
        decision = await client.post("/api/v1/orchestration/decisions", json={"context": {"goal": "grow"}})
    assert job.json()["error"]["code"] == "model_not_configured", job.text
    assert job.json()["error"]["details"]["agent"]
    assert (chat.status_code, chat.json()["error"]["code"]) == (400, "VALIDATION_ERROR"), chat.text
    assert "ANTHROPIC_API_KEY" in chat.json()["error"]["details"]["reason"]
    assert decision.status_code == 503, decision.text  # only an operator can set the model of decisions


@ledger("D-037")
async def test_the_documented_model_is_drafted_and_a_workflow_says_so(client: httpx2.AsyncClient):
    body = {
        "input": API,
        "config": {"model": "anthropic/claude-3.5-sonnet"},
    }
    answer = await client.post("/v1/workflows/api_development/run", json={**body, "async": True})
    assert answer.status_code == 202, answer.text
    job = (await client.get(answer.json()["links"]["self"], params={"wait": 60})).json()
    assert job["status"] == "completed", job
    output = (await client.get(f"{answer.json()['links']['self']}/output")).json()
    assert output["metadata"]["offline"] is True
    assert output["metadata"]["models"] == ["offline/drafter"]
