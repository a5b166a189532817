"""The OpenAPI document against the running API: whatever it promises is kept, for any request (D-007, D-097)."""

import asyncio

import httpx2
import pytest

from api.surfaces import SURFACES
from orchestrator.testing import Engine
from tests.api.explored import ACCEPTED, faults
from tests.api.surface_documents import operations
from tests.ledger import ledger

EXAMPLES = 10
# Operations of the native surface that may refuse what their schema lets through, and why no schema can say so. Such a
# refusal is a 400 (D-095). The other surfaces have documented words of their own for it, so they are not asked.
REFUSALS = {
    "/v1/agents/{agent_id}/execute": "the input follows the schema of the agent that the path names",
    "/v1/workflows/{workflow_id}/run": "the input follows the schema of the workflow that the path names",
    "/v1/jobs": "agent_id and workflow_id exclude each other, and several reasons may stand in one text",
    "/v1/jobs/{job_id}/events": "a cursor is one of this job's events",
    "/v1/jobs/{job_id}/output": "depends on the job's state",
    "/v1/jobs/{job_id}/cancel": "depends on the job's state",
    "/v1/jobs/{job_id}/pause": "depends on the job's state",
    "/v1/jobs/{job_id}/resume": "depends on the job's state",
    "/v1/jobs/{job_id}/approve": "depends on the job's state",
    "/v1/jobs/{job_id}/reject": "depends on the job's state",
    "/v1/jobs/{job_id}/retry": "depends on the job's state",
    "/v1/schedules": "one target, an input of its schema, a webhook of a public host, and times that come",
    "/v1/schedules/{schedule_id}": "an input of its target's schema, a webhook of a public host, and times that come",
    "/v1/auth/api-keys": "an end lies in the future, and is given once",
    "/v1/auth/api-keys/{key_id}": "an end lies in the future",
    "/v1/webhooks/{webhook_id}/deliveries": "a cursor is one of this list",
    "/v1/jobs/{job_id}/deliveries": "a cursor is one of this list",
    "/v1/audit": "a cursor is one of this list",
    "/v1/auth/sign-out": "a key is no sign-in",
    "/v1/users": "a user name is given once",
    "/v1/webhooks": "the URL is well-formed and its host public, and there is a most of webhooks",
    "/v1/webhooks/{webhook_id}": "the URL is well-formed and its host public",
}
# The same Idempotency-Key may come with another request, or while the first one runs.
REPEATED = ["409", "422"]


ENDLESS = {"/api/dashboard/real-time", "/v1/events"}


DOCUMENTS = {(method, path): document for (method, path), document in operations().items() if path not in ENDLESS}


def test_every_surface_is_tried():
    assert len({id(document) for document in DOCUMENTS.values()}) == len(SURFACES)
    assert len(DOCUMENTS) > 80


@pytest.fixture(scope="session")
async def an_ended_job(running: Engine) -> str:
    return (await running.run("t_echo", {"topic": "x"})).id


@pytest.mark.parametrize(("method", "path"), list(DOCUMENTS))
@ledger("D-007", "D-097")
async def test_the_document_is_kept(live: httpx2.AsyncClient, an_ended_job: str, method: str, path: str):
    url = str(live.base_url).rstrip("/")
    known = {
        "path.agent_id": ["t_echo", "t_broken", "product_manager"],
        "path.workflow_id": ["t_three", "api_development"],
        "path.job_id": [an_ended_job],
    }
    checks = {
        "positive_data_acceptance": {
            "enabled": path.startswith("/v1/"),
            "expected-statuses": ACCEPTED + ["400"] * (path in REFUSALS) + REPEATED * (method == "POST"),
        }
    }
    operation = (method, path)
    found = await asyncio.to_thread(
        faults, DOCUMENTS[operation], url, operation, examples=EXAMPLES, known=known, checks=checks
    )
    if path in ("/v1/webhooks", "/api/webhooks"):
        await _forget_webhooks(live)
    assert not found, "\n\n".join(found)


async def _forget_webhooks(live: httpx2.AsyncClient) -> None:
    """Removes the webhooks that were tried out: the jobs of every later test would be sent to them."""
    page = (await live.get("/v1/webhooks", params={"limit": 100})).json()
    for webhook in page["webhooks"]:
        await live.delete(f"/v1/webhooks/{webhook['id']}")
