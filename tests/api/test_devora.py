"""The documented conventions and examples of the native API, as a caller meets them."""

import asyncio
import json
import re
import shutil
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs
from typer.main import get_command

from api.app import create_app
from orchestrator.cli import app as command_line
from orchestrator.domain.access import Principal
from orchestrator.domain.errors import Unavailable
from orchestrator.services.jobs.start import JobStarter, Started, StartRequest
from orchestrator.testing import ADMIN_KEY, Engine
from tests.api.conftest import ADMIN, Fixed, over
from tests.ledger import ledger

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
# The documented examples, word for word but for the host, the key and, of the callback, the host.
EXECUTE = """curl -X POST https://api.devora.ai/v1/agents/product_manager/execute \\
  -H "Authorization: Bearer YOUR_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "input": {
      "task_type": "prd",
      "context": "Application de livraison de repas",
      "target_audience": "urbains 18-45 ans"
    },
    "async": false
  }'"""
RUN = """curl -X POST https://api.devora.ai/v1/workflows/api_development/run \\
  -H "Authorization: Bearer YOUR_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "input": {
      "api_name": "TaskMaster API",
      "description": "API REST pour gestion de tâches",
      "api_type": "rest",
      "requirements": [
        "CRUD utilisateurs",
        "CRUD tâches"
      ]
    },
    "async": true,
    "webhook_url": "https://myapp.com/webhook"
  }'"""
LOOK = """curl -X GET https://api.devora.ai/v1/agents/product_manager \\
  -H "Authorization: Bearer YOUR_API_KEY\""""


async def curled(command: str, url: str) -> dict[str, Any]:
    """What a documented command answers: run by curl where there is one, else sent as the same bytes."""
    here = command.replace("https://api.devora.ai", url).replace("YOUR_API_KEY", ADMIN_KEY)
    if shutil.which("curl"):
        script = here.replace("curl ", "curl --silent --show-error --fail-with-body --noproxy '*' ", 1)
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        said, fault = await process.communicate()
        assert process.returncode == 0, (said, fault)
        return json.loads(said)
    method, target = re.match(r"curl -X (\w+) (\S+)", here).groups()  # type: ignore[union-attr]
    headers = dict(line.split(": ", 1) for line in re.findall(r'-H "([^"]+)"', here))
    body = re.search(r"-d '(.*)'", here, re.DOTALL)
    async with httpx2.AsyncClient(timeout=60, trust_env=False) as client:
        # curl drops line breaks from what it is given with -d only when it reads a file
        answer = await client.request(method, target, headers=headers, content=body.group(1).encode() if body else None)
    assert answer.is_success, answer.text
    return answer.json()


@ledger("D-001", "D-003", "D-006")
async def test_every_documented_route_is_served_below_v1(app: FastAPI):
    documented = {
        ("GET", "/agents"),
        ("GET", "/agents/{agent_id}"),
        ("POST", "/agents/{agent_id}/execute"),
        ("GET", "/agents/{agent_id}/health"),
        ("GET", "/workflows"),
        ("GET", "/workflows/{workflow_id}"),
        ("POST", "/workflows/{workflow_id}/run"),
        ("GET", "/jobs"),
        ("GET", "/jobs/{job_id}"),
        ("POST", "/jobs/{job_id}/cancel"),
        ("GET", "/jobs/{job_id}/output"),
        ("GET", "/metrics"),
        ("GET", "/metrics/agents/{agent_id}"),
        ("POST", "/auth/api-keys"),
        ("POST", "/webhooks"),
    }
    paths = app.openapi()["paths"]
    served = {
        (method.upper(), path.removeprefix("/v1"))
        for path, methods in paths.items()
        if path.startswith("/v1/")
        for method in methods
    }
    assert documented <= served


@ledger("D-003")
@pytest.mark.parametrize("command", ["dev", "api"])
def test_the_development_server_listens_where_it_is_documented(command: str):
    options = {option.name: option.default for option in get_command(command_line).commands[command].params}  # type: ignore[attr-defined]
    assert options["port"] == 8000
    assert options["host"] == "127.0.0.1"


@ledger("D-004")
async def test_everything_is_json_in_utf8_with_times_in_utc(client: httpx2.AsyncClient):
    text = "tâches, 作業, 🚀"
    content = json.dumps({"input": {"topic": text}}, ensure_ascii=False).encode()
    for content_type in ("application/json", "application/json; charset=utf-8"):
        answer = await client.post("/v1/agents/t_echo/execute", content=content, headers={"Content-Type": content_type})
        assert answer.headers["Content-Type"] == "application/json"
        body = answer.json()
        assert text in body["output"]["output"]
        assert text.encode() in answer.content
        assert TIME.fullmatch(body["created_at"])
        assert TIME.fullmatch(body["completed_at"])
    refused = await client.get("/v1/agents/nobody")
    assert refused.headers["Content-Type"] == "application/json"
    assert TIME.fullmatch(refused.json()["error"]["timestamp"])


@ledger("D-005")
async def test_success_is_200_or_a_natural_201_or_202_or_204(app: FastAPI):
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            successes = {status for status in operation["responses"] if status.startswith("2")}
            natural = {"200"} if method == "get" else {"200", "201", "202", "204"}
            if path.startswith("/v1/"):
                assert successes, (method, path)
                assert successes <= natural, (method, path)


@ledger("D-008", "D-049")
async def test_a_job_is_queued_runs_and_ends(client: httpx2.AsyncClient):
    started = (await client.post("/v1/workflows/t_three/run", json={"input": {}, "async": True})).json()
    job_id = started["job_id"]
    assert started["status"] in {"queued", "running"}
    ended = (await client.get(f"/v1/jobs/{job_id}", params={"wait": 30})).json()
    while ended["status"] in {"queued", "running"}:
        ended = (await client.get(f"/v1/jobs/{job_id}", params={"wait": 30})).json()
    events = (await client.get(f"/v1/jobs/{job_id}/events", params={"limit": 1000})).json()["events"]
    statuses = [event["status"] for event in events]
    assert list(dict.fromkeys(statuses)) == ["queued", "running", "completed"]
    assert statuses == sorted(statuses, key=["queued", "running", "completed"].index)


@ledger("D-009", "D-017", "C-56")
async def test_28_agents_are_available_and_healthy(client: httpx2.AsyncClient):
    body = (await client.get("/v1/agents")).json()
    own = [agent for agent in body["agents"] if not agent["id"].startswith(("t_", "r_"))]
    assert len(own) == 28
    assert {agent["status"] for agent in own} == {"available"}
    assert body["total"] == body["available"] + body["unavailable"] == len(body["agents"])


@ledger("D-030", "C-59")
async def test_cost_is_the_published_price_of_the_tokens_and_nothing_else(client: httpx2.AsyncClient):
    pricing = (await client.get("/v1/agents/product_manager")).json()["pricing"]
    body = {"input": {"task_type": "prd", "context": "Meals"}}
    metrics = (await client.post("/v1/agents/product_manager/execute", json=body)).json()["metrics"]
    assert metrics["total_tokens"] > 0
    assert metrics["cost"] == pytest.approx(metrics["total_tokens"] / 1000 * pricing["per_1k_tokens"])


@ledger("D-038", "D-037", "D-041")
async def test_the_documented_project_is_taken(client: httpx2.AsyncClient):
    body = {
        "input": {
            "project_name": "TaskMaster Pro",
            "description": "Application de gestion de tâches",
            "tech_stack": {"frontend": ["React", "Tailwind"], "backend": ["FastAPI", "PostgreSQL"]},
            "requirements": ["Authentification JWT", "CRUD tâches", "Collaboration temps réel"],
        },
        "config": {"model": "anthropic/claude-3.5-sonnet", "parallel_execution": True, "stop_on_error": False},
        "async": True,
    }
    answer = await client.post("/v1/workflows/full_stack_development/run", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.json()["progress"]["total_steps"] == 6
    links = answer.json()["links"]
    assert (await client.get(links["self"])).json()["input"] == body["input"]
    await client.post(links["cancel"])


@ledger("D-050")
async def test_ids_tell_agents_jobs_from_workflows(client: httpx2.AsyncClient):
    agent = (await client.post("/v1/agents/t_echo/execute", json={"input": {}})).json()
    workflow = (await client.post("/v1/workflows/t_three/run", json={"input": {}})).json()
    assert re.fullmatch(r"job_\w+", agent["job_id"])
    assert re.fullmatch(r"wf_job_\w+", workflow["job_id"])
    assert agent["job_id"] < (await client.post("/v1/agents/t_echo/execute", json={"input": {}})).json()["job_id"]


@ledger("D-069")
async def test_the_documented_look_at_an_agent(live: httpx2.AsyncClient):
    agent = await curled(LOOK, str(live.base_url).rstrip("/"))
    assert (agent["id"], agent["name"], agent["squad"]) == ("product_manager", "Product Manager", "business")


@ledger("D-070", "D-026")
async def test_the_documented_execution_of_an_agent(live: httpx2.AsyncClient):
    answer = await curled(EXECUTE, str(live.base_url).rstrip("/"))
    assert answer["status"] == "completed"
    assert answer["output"]["metadata"]["task_type"] == "prd"
    assert "livraison de repas" in answer["output"]["output"]


@ledger("D-071", "D-040", "D-105")
async def test_the_documented_run_of_a_workflow(live: httpx2.AsyncClient):
    answer = await curled(RUN.replace("myapp.com", "example.com"), str(live.base_url).rstrip("/"))
    assert (answer["workflow_id"], answer["webhook_url"]) == ("api_development", "https://example.com/webhook")
    assert answer["status"] in {"queued", "running"}
    job = (await live.get(answer["links"]["self"])).json()
    assert job["input"]["description"] == "API REST pour gestion de tâches"
    assert job["input"]["requirements"] == ["CRUD utilisateurs", "CRUD tâches"]
    await live.post(answer["links"]["cancel"])


class Recovering:
    """A starter in front of which something is down for the first two requests; the second one got through."""

    def __init__(self, inner: JobStarter) -> None:
        self._inner = inner
        self.asked = 0

    async def start(self, principal: Principal, request: StartRequest) -> Started:
        self.asked += 1
        if self.asked == 1:
            raise Unavailable("The database does not answer", retry_after=2)
        started = await self._inner.start(principal, request)
        if self.asked == 2:
            raise Unavailable("The answer was lost", retry_after=4)
        return started


@ledger("D-104")
async def test_a_client_that_tries_three_times_starts_one_job(running: Engine):
    starter = Recovering(running.services.starter)
    app = create_app(Fixed(replace(running.services, starter=starter)))
    body = {"input": {"once": "only"}, "async": True}
    async with over(app, **{**ADMIN, "Idempotency-Key": "three-tries"}) as client:
        answers = [await client.post("/v1/agents/t_echo/execute", json=body) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [503, 503, 202]
        assert [answer.headers.get("Retry-After") for answer in answers] == ["2", "4", None]
        assert answers[2].headers["Idempotency-Replayed"] == "true"
        job = (await client.get(answers[2].json()["links"]["self"], params={"wait": 30})).json()
    assert job["input"] == {"once": "only"}


@ledger("D-106")
async def test_each_call_can_be_logged_with_agent_job_tokens_and_cost(client: httpx2.AsyncClient):
    with capture_logs(processors=[merge_contextvars]) as logs:
        body = {"input": {"task_type": "roadmap", "context": "Meals"}}
        answer = (await client.post("/v1/agents/product_manager/execute", json=body)).json()
    line = next(line for line in logs if line["event"] == "agent_call_ended" and line.get("job_id") == answer["job_id"])
    assert (line["agent"], answer["agent_id"]) == ("product_manager", "product_manager")
    assert line["tokens"] == answer["metrics"]["total_tokens"] > 0
    assert line["cost"] == pytest.approx(answer["metrics"]["cost"])
