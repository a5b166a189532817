"""Starting agents and workflows over HTTP: every answer, and every way to ask wrongly."""

import json
import uuid
from collections.abc import Callable
from typing import Any, Never

import httpx2
import pytest
from fastapi import FastAPI

from orchestrator.services.jobs.reader import JobReader
from orchestrator.testing import Engine, eventually
from tests.api.conftest import ADMIN, over
from tests.api.test_jobs import ended
from tests.ledger import ledger

TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"


@ledger("D-023", "D-025", "D-026", "D-027", "D-070", "C-60")
async def test_execute_waits_and_answers_with_the_output(client: httpx2.AsyncClient):
    # Byte for byte as curl sends it
    body = {
        "input": {
            "task_type": "prd",
            "context": "Application de livraison de repas",
            "target_audience": "urbains 18-45 ans",
        },
        "async": False,
    }
    answer = await client.post(
        "/v1/agents/product_manager/execute",
        content=json.dumps(body, ensure_ascii=False).encode(),
        headers={"Content-Type": "application/json"},
    )
    content = answer.json()
    assert answer.status_code == 200, content
    assert content["status"] == "completed"
    assert content["agent_id"] == "product_manager"
    assert "workflow_id" not in content
    assert content["job_id"].startswith("job_")
    assert content["output"]["status"] == "success"
    assert "livraison de repas" in content["output"]["output"]
    assert content["output"]["metadata"]["task_type"] == "prd"
    assert isinstance(content["output"]["deliverables"], list)
    metrics = content["metrics"]
    assert metrics["total_tokens"] == metrics["prompt_tokens"] + metrics["completion_tokens"]
    assert metrics["execution_time"] > 0
    assert content["error"] is None
    assert content["completed_at"] >= content["created_at"]
    assert content["links"] == {
        "self": f"/v1/jobs/{content['job_id']}",
        "events": f"/v1/jobs/{content['job_id']}/events",
        "output": f"/v1/jobs/{content['job_id']}/output",
        "cancel": f"/v1/jobs/{content['job_id']}/cancel",
    }
    assert answer.headers["Location"] == content["links"]["self"]


@ledger("D-037", "D-039", "D-040", "D-071", "D-105")
async def test_run_answers_at_once_and_the_job_goes_on(client: httpx2.AsyncClient):
    body = {
        "input": {
            "api_name": "Products API",
            "description": "Catalogue of products",
            "api_type": "rest",
            "requirements": ["CRUD products", "search"],
        },
        "async": True,
        "webhook_url": "https://example.com/callback",
    }
    answer = await client.post("/v1/workflows/api_development/run", json=body)
    content = answer.json()
    assert answer.status_code == 202, content
    assert content["workflow_id"] == "api_development"
    assert content["job_id"].startswith("wf_job_")
    assert content["status"] in {"queued", "running"}
    assert set(content["progress"]) == {"current_step", "total_steps", "percentage"}
    assert content["progress"]["total_steps"] > 1
    assert content["webhook_url"] == "https://example.com/callback"
    assert content["eta_seconds"] == 600
    assert answer.headers["Location"] == f"/v1/jobs/{content['job_id']}"

    async def look() -> dict[str, Any]:
        return (await client.get(f"/v1/jobs/{content['job_id']}", params={"wait": 5})).json()

    job = await eventually(look, lambda job: job["status"] in {"completed", "failed"}, seconds=60)
    assert job["status"] == "completed", job["error"]
    assert job["webhook_url"] == "https://example.com/callback"
    assert {step["status"] for step in job["steps"]} == {"completed"}
    assert job["output"]["deliverables"]


@ledger("D-028")
async def test_execute_async_answers_queued(client: httpx2.AsyncClient):
    body = {"input": {}, "async": True, "webhook_url": "https://example.com/hook"}
    answer = await client.post("/v1/agents/t_echo/execute", json=body)
    content = answer.json()
    assert answer.status_code == 202
    assert content["status"] == "queued"
    assert content["agent_id"] == "t_echo"
    assert content["webhook_url"] == "https://example.com/hook"
    assert isinstance(content["eta_seconds"], int)
    assert content["eta_seconds"] > 0
    assert set(content) == {"job_id", "status", "agent_id", "created_at", "eta_seconds", "webhook_url", "links"}


@pytest.mark.parametrize("path", ["/v1/agents/t_echo/execute", "/v1/workflows/t_three/run"])
async def test_a_repeated_start_shows_the_job_as_it_is_now(client: httpx2.AsyncClient, path: str):
    key, body = {"Idempotency-Key": f"as it is now {path}"}, {"input": {}, "async": True}
    first = (await client.post(path, json=body, headers=key)).json()
    assert first["eta_seconds"] > 0
    await ended(client, first["job_id"])
    again = (await client.post(path, json=body, headers=key)).json()
    assert (again["job_id"], again["created_at"]) == (first["job_id"], first["created_at"])
    assert (again["status"], again["eta_seconds"]) == ("completed", 0)


async def test_a_new_job_is_shown_as_it_begins_without_a_read(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
):
    async def read(*_: object) -> Never:
        raise AssertionError("a new job was read")

    monkeypatch.setattr(JobReader, "get", read)
    answer = await client.post("/v1/workflows/t_three/run", json={"input": {}, "async": True})
    body = answer.json()
    assert answer.status_code == 202, body
    assert (body["status"], body["steps_status"]) == ("queued", [])
    assert body["progress"] == {"current_step": 0, "total_steps": 3, "percentage": 0}


@ledger("D-024")
async def test_webhook_of_a_synchronous_call_is_accepted_and_not_kept(client: httpx2.AsyncClient):
    body = {"input": {}, "async": False, "webhook_url": "https://example.com/hook"}
    content = (await client.post("/v1/agents/t_echo/execute", json=body)).json()
    assert content["status"] == "completed"
    assert (await client.get(content["links"]["self"])).json()["webhook_url"] is None


@ledger("D-037", "D-040")
async def test_run_waits_and_answers_with_the_output_and_every_step(client: httpx2.AsyncClient):
    answer = await client.post("/v1/workflows/t_three/run", json={"input": {"x": 1}})
    body = answer.json()
    assert answer.status_code == 200
    assert body["workflow_id"] == "t_three"
    assert "agent_id" not in body
    assert body["status"] == "completed"
    assert body["progress"] == {"current_step": 3, "total_steps": 3, "percentage": 100}
    assert [step["step"] for step in body["steps_status"]] == ["a", "b", "c"]
    assert all(step["status"] == "completed" and step["completed_at"] for step in body["steps_status"])
    assert body["output"]["status"] == "success"


async def test_a_failed_synchronous_job_answers_200_and_says_why(client: httpx2.AsyncClient):
    answer = await client.post("/v1/agents/t_broken/execute", json={"input": {}})
    body = answer.json()
    assert answer.status_code == 200
    assert body["status"] == "failed"
    assert body["output"] is None
    assert body["error"]["type"] == "provider_rejected"
    assert body["error"]["step"] == "execute"


@ledger("D-044", "D-105")
async def test_a_synchronous_call_ends_at_the_servers_deadline_and_the_job_goes_on(
    app_with: Callable[..., FastAPI], client: httpx2.AsyncClient
):
    async with over(app_with(sync_timeout=0.2), **ADMIN) as hasty:
        answer = await hasty.post("/v1/agents/t_slow/execute", json={"input": {"seconds": 1.5}})
    error = answer.json()["error"]
    assert answer.status_code == 503
    assert error["code"] == "service_unavailable"
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.headers["x-should-retry"] == "false"  # the client should wait for the job, not start another
    job_id = error["details"]["job_id"]
    assert error["details"]["links"]["self"] == f"/v1/jobs/{job_id}"

    async def look() -> dict[str, Any]:
        return (await client.get(f"/v1/jobs/{job_id}", params={"wait": 2})).json()

    assert (await eventually(look, lambda job: job["status"] != "running"))["status"] == "completed"


@ledger("D-029", "D-096")
async def test_missing_input_field_is_named_with_its_type(client: httpx2.AsyncClient):
    answer = await client.post("/v1/agents/product_manager/execute", json={"input": {"context": "x"}})
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["code"] == "invalid_request"
    assert error["message"] == "Missing required field: task_type"
    assert error["details"] == {"field": "task_type", "provided": None, "expected": "string"}


RUN = "/v1/workflows/t_three/run"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/agents/product_manager/execute", {"input": {"task_type": "poem", "context": "x"}}, "task_type"),
        ("/v1/agents/product_manager/execute", {"input": {"task_type": "prd", "context": 7}}, "context"),
        ("/v1/workflows/api_development/run", {"input": {"api_name": "a", "api_type": "rest"}}, "description"),
        (RUN, {}, "input"),
        (RUN, {"input": None}, "input"),
        (RUN, {"input": [1]}, "input"),
        (RUN, {"input": "text"}, "input"),
        (RUN, {"input": {}, "config": {"modle": "x"}}, "config.modle"),
        (RUN, {"input": {}, "config": []}, "config"),
        (RUN, {"input": {}, "config": {"temperature": "hot"}}, "config.temperature"),
        (RUN, {"input": {}, "config": {"temperature": 3}}, "config.temperature"),
        (RUN, {"input": {}, "config": {"max_tokens": 0}}, "config.max_tokens"),
        (RUN, {"input": {}, "config": {"stop_on_error": "yes"}}, "config.stop_on_error"),
        (RUN, {"input": {}, "async": "yes"}, "async"),
        (RUN, {"input": {}, "asynchronous": True}, "asynchronous"),
        (RUN, {"input": {}, "priority": 1}, "priority"),
        (RUN, {"input": {}, "async": True, "webhook_url": "not a url"}, "webhook_url"),
        (RUN, {"input": {}, "async": True, "webhook_url": "ftp://example.com/x"}, "webhook_url"),
        (RUN, {"input": {}, "async": True, "webhook_url": "/callback"}, "webhook_url"),
        (RUN, {"input": {}, "async": True, "webhook_url": ["https://example.com"]}, "webhook_url"),
        (RUN, [{"input": {}}], "body"),
    ],
)
@ledger("D-023", "D-037", "D-097")
async def test_a_wrong_field_is_named(client: httpx2.AsyncClient, path: str, body: Any, field: str):
    before = (await client.get("/v1/jobs")).json()["total"]
    answer = await client.post(path, json=body)
    error = answer.json()["error"]
    assert answer.status_code == 400, answer.text
    assert error["code"] == "invalid_request"
    assert error["details"]["field"] == field
    assert error["details"]["expected"]
    assert field.rpartition(".")[2] in error["message"]
    assert (await client.get("/v1/jobs")).json()["total"] == before, "something was started"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"input=1",
        b"\xff\xfe{}",
        b'{"input": {"a": NaN}}',
        b'{"input": {"a": 1e999}}',
        b'{"input": {"a": "\\ud800"}}',
        b'{"input": {"\\udfff": 1}}',
        b'{"input": {"a": ' + b"[" * 195 + b"]" * 195 + b"}}",
        b'{"input": {"a": ' + b"[" * 240 + b"]" * 240 + b"}}",
        b'{"input": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        b'{"input": {"a": ' + b"9" * 5000 + b"}}",
        b'{"input": {}, "config": {"model": "\\ud800"}}',
    ],
)
@ledger("D-097")
async def test_a_body_that_is_no_sound_json_is_refused(client: httpx2.AsyncClient, content: bytes):
    answer = await client.post(RUN, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["code"] == "invalid_request"
    assert len(answer.content) < 2000


@ledger("D-025")
async def test_input_of_any_sound_shape_comes_back_as_it_was(client: httpx2.AsyncClient):
    deep: Any = "bottom"
    for _ in range(185):
        deep = [deep]
    sent = {"deep": deep, "text": "é \u0000 𝄞 \u2028", "number": 10**40, "small": 1e-320, "": None}
    started = await client.post(RUN, json={"input": sent})
    assert started.status_code == 200, started.text
    assert started.json()["status"] == "completed", started.json()["error"]
    assert (await client.get(started.json()["links"]["self"])).json()["input"] == sent


async def test_a_body_that_is_not_declared_as_json_is_refused_with_the_reason(client: httpx2.AsyncClient):
    answer = await client.post(
        RUN, content=b'{"input": {}}', headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code == 400
    assert "Content-Type: application/json" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/agents/nobody/execute", "/v1/workflows/nothing/run"])
@ledger("D-023", "D-037", "D-095")
async def test_an_unknown_target_is_not_found(client: httpx2.AsyncClient, path: str):
    answer = await client.post(path, json={"input": {}})
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


async def test_a_body_over_eight_mebibytes_is_refused_before_it_is_read(client: httpx2.AsyncClient):
    async def pieces():
        yield b'{"input": {"a": "'
        for _ in range(130):
            yield b"x" * 65536
        yield b'"}}'

    whole = json.dumps({"input": {"a": "x" * 8 * 1024 * 1024}}).encode()
    for content in (whole, pieces()):  # declared, and chunked
        answer = await client.post(RUN, content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "invalid_request"
        assert answer.json()["error"]["details"]["field"] == "body"


async def test_an_input_over_four_mebibytes_is_refused(client: httpx2.AsyncClient):
    answer = await client.post(RUN, json={"input": {"a": "x" * (4 * 1024 * 1024 + 1)}})
    assert answer.status_code == 413
    assert answer.json()["error"]["details"]["field"] == "input"


@pytest.mark.parametrize("key", ["", "   ", "k" * 256, "with\ttab"])
async def test_an_unusable_idempotency_key_is_refused(client: httpx2.AsyncClient, key: str):
    answer = await client.post(RUN, json={"input": {}}, headers={"Idempotency-Key": key})
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"] == "Idempotency-Key"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/agents/t_echo/execute", {"input": {"n": 1}}, 200),
        ("/v1/agents/t_echo/execute", {"input": {"n": 1}, "async": True}, 202),
        ("/v1/workflows/t_three/run", {"input": {"n": 1}}, 200),
        ("/v1/workflows/t_three/run", {"input": {"n": 1}, "async": True}, 202),
    ],
)
async def test_the_same_key_and_body_start_one_job(client: httpx2.AsyncClient, path: str, body: Any, status: int):
    key = {"Idempotency-Key": uuid.uuid4().hex}
    first = await client.post(path, json=body, headers=key)
    second = await client.post(path, json=body, headers=key)
    assert (first.status_code, second.status_code) == (status, status)
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    assert first.json()["job_id"] == second.json()["job_id"]
    assert set(first.json()) == set(second.json())
    if status == 200:
        assert first.json() == second.json()


async def test_the_same_key_with_another_body_is_refused(client: httpx2.AsyncClient):
    key = {"Idempotency-Key": uuid.uuid4().hex}
    first = await client.post(RUN, json={"input": {"n": 1}, "async": True}, headers=key)
    second = await client.post(RUN, json={"input": {"n": 2}, "async": True}, headers=key)
    assert second.status_code == 422
    error = second.json()["error"]
    assert error["code"] == "invalid_request"
    assert error["details"]["field"] == "Idempotency-Key"
    assert error["details"]["job_id"] == first.json()["job_id"]


@ledger("D-037")
async def test_config_reaches_the_job(client: httpx2.AsyncClient, running: Engine):
    config = {"model": "offline:drafter", "temperature": 1, "max_tokens": 100, "stop_on_error": False}
    answer = await client.post(RUN, json={"input": {}, "config": config, "async": True})
    assert answer.status_code == 202, answer.text
    job = await running.job(answer.json()["job_id"])
    assert job.config == {**config, "parallel_execution": True}
