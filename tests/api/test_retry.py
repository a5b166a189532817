"""Finishing failed jobs over HTTP, and lists of what hangs or failed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI

from orchestrator.domain.access import Scope
from orchestrator.testing import eventually
from tests.api.conftest import Keys, over
from tests.api.test_jobs import ended, start, until


async def failed(client: httpx2.AsyncClient, gate: Path) -> dict[str, Any]:
    answer = await client.post("/v1/workflows/r_chain/run", json={"input": {"gate": str(gate)}, "async": True})
    job = await ended(client, answer.json()["job_id"])
    assert job["status"] == "failed", job
    return job


async def test_a_retry_answers_as_a_start_and_reports_both_ways(client: httpx2.AsyncClient, tmp_path: Path):
    gate = tmp_path / "gate"
    old = await failed(client, gate)
    assert (old["retry_of"], old["retried_by"]) == (None, [])
    gate.touch()
    answer = await client.post(f"/v1/jobs/{old['job_id']}/retry", json={})
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert body["retry_of"] == old["job_id"]
    assert {"job_id", "workflow_id", "status", "links", "progress", "steps_status"} <= set(body)
    assert answer.headers["Location"] == f"/v1/jobs/{body['job_id']}" == body["links"]["self"]
    assert (body["reused_calls"], body["reused_tokens"]) == (2, 0)
    assert [step["status"] for step in body["steps_status"]][:1] == ["completed"]
    new = await ended(client, body["job_id"])
    assert (new["status"], new["retry_of"], new["progress"]) == ("completed", old["job_id"], 100)
    reused = {f"{step['step']}.{step['agent']}": step["reused_from"] for step in new["steps"] if step["reused"]}
    assert reused == {"a.r_worker": old["job_id"], "b.r_worker": old["job_id"]}
    assert set(new["metrics"]) >= {"cost", "reused_cost", "reused_tokens"}
    assert (await client.get(f"/v1/jobs/{old['job_id']}")).json()["retried_by"] == [body["job_id"]]
    rows = (await client.get("/v1/jobs", params={"workflow_id": "r_chain"})).json()["jobs"]
    lines = {row["job_id"]: (row["retry_of"], row["retried_by"]) for row in rows}
    assert lines[body["job_id"]] == (old["job_id"], [])
    assert lines[old["job_id"]] == (None, [body["job_id"]])


async def test_what_cannot_be_retried_says_why(client: httpx2.AsyncClient, tmp_path: Path):
    unknown = await client.post("/v1/jobs/wf_job_00000000000000000000000000000000/retry")
    assert unknown.status_code == 404
    done = await ended(client, await start(client, "t_three"))
    refused = await client.post(f"/v1/jobs/{done['job_id']}/retry")
    assert (refused.status_code, "Start a new job" in refused.text) == (400, True)
    waiting = await start(client, "t_approval")
    refused = await client.post(f"/v1/jobs/{waiting}/retry")
    assert refused.status_code == 400
    old = await failed(client, tmp_path / "gate")
    assert (await client.post(f"/v1/jobs/{old['job_id']}/retry", json={"model": "x"})).status_code == 400


async def test_a_key_replays_the_retry(client: httpx2.AsyncClient, tmp_path: Path):
    old = await failed(client, tmp_path / "gate")
    key = {"Idempotency-Key": f"retry {old['job_id']}"}
    first, second = [await client.post(f"/v1/jobs/{old['job_id']}/retry", headers=key) for _ in range(2)]
    assert (first.status_code, second.status_code) == (202, 202)
    assert second.headers["Idempotency-Replayed"] == "true"
    assert second.json()["job_id"] == first.json()["job_id"]
    other = await failed(client, tmp_path / "gate")
    reused = await client.post(f"/v1/jobs/{other['job_id']}/retry", headers=key)
    assert reused.status_code == 422


async def test_a_retry_is_its_owners_and_needs_the_scope_of_a_start(
    client: httpx2.AsyncClient, app_with: Callable[..., FastAPI], tmp_path: Path
):
    keys = Keys(alice={Scope.JOBS_READ, Scope.WORKFLOWS_RUN}, bob={Scope.WORKFLOWS_RUN}, root={Scope.ADMIN})
    app = app_with(access=keys)

    def of(name: str) -> httpx2.AsyncClient:
        return over(app, Authorization=f"Bearer {name}")

    async with of("alice") as alice, of("bob") as bob, of("root") as root:
        old = await failed(alice, tmp_path / "gate")
        assert (await bob.post(f"/v1/jobs/{old['job_id']}/retry")).status_code == 404
        answer = await root.post(f"/v1/jobs/{old['job_id']}/retry")
        assert answer.status_code == 202, answer.text
        new = await ended(alice, answer.json()["job_id"])  # the owner sees what an admin did for them
        assert new["retry_of"] == old["job_id"]


async def test_lists_tell_and_filter_by_reason(client: httpx2.AsyncClient):
    waiting = await start(client, "t_approval")
    await until(client, waiting, lambda job: (job["reason"] or {}).get("code") == "waiting_for_approval")

    async def listed(**query: Any) -> dict[str, Any]:
        answer = await client.get("/v1/jobs", params={"limit": 100, **query})
        assert answer.status_code == 200, answer.text
        return {row["job_id"]: row["reason"] for row in answer.json()["jobs"]}

    found = await eventually(lambda: listed(reason="waiting_for_approval,stuck"), lambda found: waiting in found)
    assert found[waiting]["code"] == "waiting_for_approval"
    assert {"message", "since", "seen_at"} <= set(found[waiting])
    assert waiting in await listed(reason=["stuck", "waiting_for_approval"])
    assert waiting in await listed(needs_attention="true", workflow_id="t_approval", status="running")
    assert waiting not in await listed(needs_attention="true", status="failed")
    assert waiting not in await listed(reason="stuck")
    refused = await client.get("/v1/jobs", params={"reason": "lost"})
    assert refused.status_code == 400
    assert "waiting_for_approval" in refused.text
