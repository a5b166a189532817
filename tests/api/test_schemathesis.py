"""The OpenAPI document against the running API: whatever it promises is kept, for any request (D-007, D-097)."""

import asyncio
from typing import Any

import httpx2
import pytest
import schemathesis
from fastapi import FastAPI
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema

from api.app import create_app
from orchestrator.testing import Engine
from tests.api.conftest import ADMIN, Fixed
from tests.ledger import ledger

EXAMPLES = 10
ACCEPTED = ["2xx", "401", "403", "404", "503"]
# Operations of the native surface that may refuse what their schema lets through, and why no schema can say so. Such a
# refusal is a 400 (D-095). The other surfaces have documented words of their own for it, so they are not asked.
REFUSALS = {
    "/v1/agents/{agent_id}/execute": "the input follows the schema of the agent that the path names",
    "/v1/workflows/{workflow_id}/run": "the input follows the schema of the workflow that the path names",
    "/v1/jobs": "agent_id and workflow_id exclude each other",
    "/v1/jobs/{job_id}/events": "a cursor is one of this job's events",
    "/v1/jobs/{job_id}/output": "depends on the job's state",
    "/v1/jobs/{job_id}/cancel": "depends on the job's state",
    "/v1/jobs/{job_id}/pause": "depends on the job's state",
    "/v1/jobs/{job_id}/resume": "depends on the job's state",
    "/v1/jobs/{job_id}/approve": "depends on the job's state",
    "/v1/jobs/{job_id}/reject": "depends on the job's state",
    "/v1/auth/api-keys": "an end lies in the future, and is given once",
    "/v1/auth/api-keys/{key_id}": "an end lies in the future",
    "/v1/users": "a user name is given once",
    "/v1/webhooks": "the URL is well-formed and its host public, and there is a most of webhooks",
    "/v1/webhooks/{webhook_id}": "the URL is well-formed and its host public",
}


ENDLESS = {"/api/dashboard/real-time"}


def operations() -> list[tuple[str, str]]:
    paths = create_app(Fixed(None)).openapi()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods if path not in ENDLESS]


@pytest.fixture(scope="session")
async def an_ended_job(running: Engine) -> str:
    return (await running.run("t_echo", {"topic": "x"})).id


@pytest.mark.parametrize(("method", "path"), operations())
@ledger("D-007", "D-097")
async def test_the_document_is_kept(app: FastAPI, live: httpx2.AsyncClient, an_ended_job: str, method: str, path: str):
    url = str(live.base_url).rstrip("/")
    found = await asyncio.to_thread(_explore, app.openapi(), url, method, path, an_ended_job)
    if path in ("/v1/webhooks", "/api/webhooks"):
        await _forget_webhooks(live)
    assert not found, "\n\n".join(found)


async def _forget_webhooks(live: httpx2.AsyncClient) -> None:
    """Those that were tried out: the jobs of every later test would be told to them."""
    page = (await live.get("/v1/webhooks", params={"limit": 100})).json()
    for webhook in page["webhooks"]:
        await live.delete(f"/v1/webhooks/{webhook['id']}")


def _explore(document: dict[str, Any], url: str, method: str, path: str, job_id: str) -> list[str]:
    """What schemathesis finds wrong with one operation, as text."""
    config = SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "base-url": url,
            "headers": ADMIN,
            "request-timeout": 30,
            "continue-on-failure": True,
            "dictionaries": {
                "agents": {"values": ["t_echo", "t_broken", "product_manager"]},
                "workflows": {"values": ["t_three", "api_development"]},
                "jobs": {"values": [job_id]},
            },
            "parameters": {
                "path.agent_id": {"dictionary": "agents", "probability": 0.6},
                "path.workflow_id": {"dictionary": "workflows", "probability": 0.6},
                "path.job_id": {"dictionary": "jobs", "probability": 0.6},
            },
            "generation": {"max-examples": EXAMPLES, "deterministic": True, "database": "none", "no-shrink": True},
            "checks": {
                "positive_data_acceptance": {
                    "enabled": path.startswith("/v1/"),
                    "expected-statuses": ACCEPTED + ["400"] * (path in REFUSALS),
                }
            },
            "phases": {"stateful": {"enabled": False}},
            "warnings": False,
        }
    )
    schema = schemathesis.openapi.from_dict(document, config=config).include(method=method, path=path)
    found, tried = [], 0
    for event in from_schema(schema).execute():
        match event:
            case events.NonFatalError() | events.FatalError():
                found.append(repr(event))
            case events.ScenarioFinished():
                tried += len(event.recorder.interactions)
                for checks in event.recorder.checks.values():
                    found += [
                        f"{check.name}: {check.failure_info.failure}\n{check.failure_info.code_sample}"
                        for check in checks
                        if check.status is Status.FAILURE
                    ]
    assert tried > 1, "nothing was tried"
    return found
