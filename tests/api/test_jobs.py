"""Reading and controlling jobs over HTTP."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from api.app import create_app
from api.v1.jobs import JobQuery
from api.v1.pages import CursorQuery
from orchestrator.domain.access import Scope
from orchestrator.domain.catalogue import Plugin
from orchestrator.testing import Engine, eventually, running_engine
from tests.api.conftest import ADMIN, Fixed, Keys, over
from tests.ledger import ledger

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
UNKNOWN = "wf_job_00000000000000000000000000000000"


async def start(client: httpx2.AsyncClient, target: str, input: dict[str, Any] | None = None) -> str:
    """The id of a job that was started on its own."""
    path = f"/v1/workflows/{target}/run" if target in WORKFLOWS else f"/v1/agents/{target}/execute"
    answer = await client.post(path, json={"input": input or {}, "async": True})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


WORKFLOWS = {"t_three", "t_approval", "t_slow", "t_countdown", "t_big", "t_broken"}


async def until(client: httpx2.AsyncClient, job_id: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    async def look() -> dict[str, Any]:
        answer = await client.get(f"/v1/jobs/{job_id}", params={"wait": 1})
        assert answer.status_code == 200, answer.text
        return answer.json()

    return await eventually(look, holds)


async def ended(client: httpx2.AsyncClient, job_id: str) -> dict[str, Any]:
    return await until(client, job_id, lambda job: job["status"] not in {"queued", "running"})


@ledger("D-004", "D-051")
async def test_a_job_reports_everything(client: httpx2.AsyncClient):
    job = await ended(client, await start(client, "t_three", {"n": 1}))
    assert job["type"] == "workflow"
    assert job["workflow_id"] == "t_three"
    assert "agent_id" not in job
    assert (job["status"], job["state"], job["reason"], job["progress"]) == ("completed", "COMPLETED", None, 100)
    assert job["input"] == {"n": 1}
    assert job["output"]["status"] == "success"
    used = {"total_tokens", "prompt_tokens", "completion_tokens", "execution_time", "cost", "provider_cost"}
    assert used | {"reused_tokens", "reused_cost"} == set(job["metrics"])
    assert [(step["step"], step["agent"], step["status"]) for step in job["steps"]] == [
        ("a", "t_echo", "completed"),
        ("b", "t_echo", "completed"),
        ("c", "t_echo", "completed"),
    ]
    assert [attempt["number"] for attempt in job["steps"][0]["attempts"]] == [1]
    for moment in (
        job["created_at"],
        job["started_at"],
        job["completed_at"],
        job["steps"][0]["attempts"][0]["started_at"],
    ):
        assert TIME.fullmatch(moment), moment
    assert job["cancelled_at"] is None
    assert job["error"] is None
    assert job["webhook_url"] is None


@ledger("D-051")
async def test_an_open_job_says_why_it_is_where_it_is(client: httpx2.AsyncClient):
    job_id = await start(client, "t_slow")
    job = await until(client, job_id, lambda job: job["reason"] and job["reason"]["code"] == "running")
    assert (job["status"], job["state"]) == ("running", "RUNNING")
    assert job["reason"]["step"] == "a"
    assert (job["output"], job["completed_at"], job["metrics"]["execution_time"]) == (None, None, None)
    await client.post(f"/v1/jobs/{job_id}/cancel")


async def test_a_failed_job_says_what_failed(client: httpx2.AsyncClient):
    job = await ended(client, await start(client, "t_broken"))
    assert (job["status"], job["state"], job["output"]) == ("failed", "FAILED", None)
    assert job["error"]["type"] == "provider_rejected"
    assert job["error"]["step"] == "a"
    failed = next(step for step in job["steps"] if step["agent"] == "t_broken")
    assert failed["attempts"][-1]["error"]["message"] == "refused for good"


async def test_wait_answers_when_the_job_ends_not_before(client: httpx2.AsyncClient):
    job_id = await start(client, "t_slow", {"seconds": 3})
    await until(client, job_id, lambda job: job["status"] == "running")
    answer = await client.get(f"/v1/jobs/{job_id}", params={"wait": 60})
    assert answer.json()["status"] == "completed"


@pytest.mark.parametrize("wait", ["-1", "61", "x", "nan", "inf"])
async def test_a_wait_out_of_bounds_is_refused(client: httpx2.AsyncClient, wait: str):
    answer = await client.get(f"/v1/jobs/{UNKNOWN}", params={"wait": wait})
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"] == "wait"


@ledger("D-053")
async def test_the_output_is_whole_wherever_it_is_shown(client: httpx2.AsyncClient):
    job_id = await start(client, "t_big", {"kilobytes": 200})
    job = await ended(client, job_id)
    output = (await client.get(f"/v1/jobs/{job_id}/output", headers={"Accept": "application/json"})).json()
    assert output == job["output"]
    assert {"status", "output", "deliverables", "metadata"} <= set(output)
    contents = {item["path"]: item["content"] for item in output["deliverables"]}
    assert contents["a.txt"] == "x" * 1024 * 200
    assert all(content is not None for content in contents.values())


@ledger("D-053")
async def test_there_is_no_output_before_the_end(client: httpx2.AsyncClient):
    job_id = await start(client, "t_approval")
    answer = await client.get(f"/v1/jobs/{job_id}/output")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_request"
    await client.post(f"/v1/jobs/{job_id}/cancel")


@pytest.mark.parametrize(
    "job_id", [UNKNOWN, "job_none", "nonsense", "orchestrator-reconcile", "job_%00", "job_" + "9" * 300]
)
@pytest.mark.parametrize(
    ("method", "tail"),
    [
        ("GET", ""),
        ("GET", "/output"),
        ("GET", "/events"),
        ("POST", "/cancel"),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("POST", "/approve"),
        ("POST", "/reject"),
    ],
)
@ledger("D-051", "D-095")
async def test_an_unknown_job_is_not_found(client: httpx2.AsyncClient, job_id: str, method: str, tail: str):
    answer = await client.request(method, f"/v1/jobs/{job_id}{tail}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


async def test_jobs_of_others_are_unknown(client: httpx2.AsyncClient, app_with: Callable[..., FastAPI]):
    keys = Keys(
        mine={Scope.WORKFLOWS_RUN, Scope.JOBS_READ, Scope.JOBS_CANCEL},
        theirs={Scope.WORKFLOWS_RUN, Scope.JOBS_READ, Scope.JOBS_CANCEL},
    )
    app = app_with(access=keys)
    async with over(app, Authorization="Bearer mine") as mine, over(app, Authorization="Bearer theirs") as theirs:
        job_id = await start(mine, "t_three")
        assert (await mine.get(f"/v1/jobs/{job_id}")).status_code == 200
        for tail in ("", "/output", "/events"):
            assert (await theirs.get(f"/v1/jobs/{job_id}{tail}")).status_code == 404
        assert (await theirs.post(f"/v1/jobs/{job_id}/cancel")).status_code == 404
        assert (await mine.get("/v1/jobs")).json()["total"] == 1
        empty = {"jobs": [], "total": 0, "limit": 20, "offset": 0, "next": None, "has_more": False}
        assert (await theirs.get("/v1/jobs")).json() == empty
        assert (await client.get(f"/v1/jobs/{job_id}")).status_code == 200, "an admin sees it"


@ledger("D-045", "D-047", "D-048", "D-049", "C-34")
async def test_lists_filter_and_page_with_an_exact_total(app_with: Callable[..., FastAPI]):
    keys = Keys(
        lister={Scope.ADMIN}, owner={Scope.WORKFLOWS_RUN, Scope.AGENTS_EXECUTE, Scope.JOBS_READ, Scope.JOBS_CANCEL}
    )
    async with over(app_with(access=keys), Authorization="Bearer owner") as client:
        ids = [await start(client, "t_three") for _ in range(3)]
        failed, waiting = await start(client, "t_broken"), await start(client, "t_approval")
        agent, stopped = await start(client, "t_echo"), await start(client, "t_slow")
        for job_id in (*ids, failed, agent):
            await ended(client, job_id)
        await until(client, waiting, lambda job: job["reason"] and job["reason"]["code"] == "waiting_for_approval")
        assert (await client.post(f"/v1/jobs/{stopped}/cancel")).status_code == 200

        async def listed(**query: Any) -> tuple[set[str], int]:
            body = (await client.get("/v1/jobs", params=query)).json()
            return {job["job_id"] for job in body["jobs"]}, body["total"]

        assert await listed() == ({*ids, failed, waiting, agent, stopped}, 7)
        assert await listed(status="completed") == ({*ids, agent}, 4)
        assert await listed(status="failed") == ({failed}, 1)
        assert await listed(status="cancelled") == ({stopped}, 1)
        assert await listed(status="queued") == (set(), 0)
        assert await listed(status="running") == ({waiting}, 1)
        assert await listed(workflow_id="t_three") == (set(ids), 3)
        assert await listed(agent_id="t_echo") == ({agent}, 1)
        assert await listed(agent_id="t_three") == (set(), 0)
        assert await listed(workflow_id="t_three", status="failed") == (set(), 0)
        first, second = [(await client.get("/v1/jobs", params={"limit": 4, "offset": n})).json() for n in (0, 4)]
        assert [first["total"], first["limit"], first["offset"]] == [7, 4, 0]
        assert [len(first["jobs"]), len(second["jobs"])] == [4, 3]
        pages = [job["job_id"] for job in first["jobs"] + second["jobs"]]
        assert pages[0] == stopped
        assert len(set(pages)) == 7
        entry = next(job for job in second["jobs"] if job["job_id"] == ids[0])
        assert (entry["type"], entry["workflow_id"], entry["status"], entry["progress"]) == (
            "workflow",
            "t_three",
            "completed",
            100,
        )
        assert "agent_id" not in entry
        assert TIME.fullmatch(entry["started_at"])
        await client.post(f"/v1/jobs/{waiting}/cancel")


# A value of each filter that a completed job `t_three` does not match.
OTHER: dict[str, Any] = {
    "status": "queued",
    "state": "PAUSED",
    "reason": "stuck",
    "needs_attention": True,
    "label": "team:blue",
    "since": "2100-01-01T00:00:00Z",
    "until": "2000-01-01T00:00:00Z",
}


async def test_every_filter_reaches_the_index(client: httpx2.AsyncClient):
    job_id = await start(client, "t_three")
    await ended(client, job_id)

    async def listed(**query: Any) -> bool:
        answer = await client.get("/v1/jobs", params={"limit": 100, **query})
        assert answer.status_code == 200, answer.text
        return job_id in {job["job_id"] for job in answer.json()["jobs"]}

    assert await listed()
    filters = JobQuery.model_fields.keys() - CursorQuery.model_fields.keys()
    ignored = {name for name in filters if await listed(**{name: OTHER.get(name, "none")})}
    assert not ignored


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": -1}, "limit"),
        ({"limit": 101}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"limit": ""}, "limit"),
        ({"offset": -1}, "offset"),
        ({"offset": 10**30}, "offset"),
        ({"status": "done"}, "status"),
        ({"status": "COMPLETED"}, "status"),
        ({"agent_id": "a\0b"}, "agent_id"),
        ({"agent_id": "t_echo", "workflow_id": "t_three"}, "agent_id"),
    ],
)
@ledger("D-045", "D-046")
async def test_a_wrong_query_is_refused(client: httpx2.AsyncClient, query: dict[str, Any], field: str):
    answer = await client.get("/v1/jobs", params=query)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["code"] == "invalid_request"
    assert error["details"]["field"] == field
    assert error["details"]["expected"]


@ledger("D-052")
async def test_cancel_ends_the_job_and_says_so(client: httpx2.AsyncClient):
    job_id = await start(client, "t_slow")
    await until(client, job_id, lambda job: job["steps"][0]["status"] == "running")
    answer = await client.post(f"/v1/jobs/{job_id}/cancel", json={"reason": "changed my mind"})
    body = answer.json()
    assert answer.status_code == 200
    assert (body["job_id"], body["status"], body["done"]) == (job_id, "cancelled", True)
    assert TIME.fullmatch(body["cancelled_at"])
    job = (await client.get(f"/v1/jobs/{job_id}")).json()
    assert (job["status"], job["state"]) == ("cancelled", "CANCELLED")
    assert job["cancelled_at"] == body["cancelled_at"]
    assert "changed my mind" in job["error"]["message"]
    again = await client.post(f"/v1/jobs/{job_id}/cancel")
    assert (again.status_code, again.json()) == (200, body), "a second cancel changes nothing"


async def test_pause_and_resume(client: httpx2.AsyncClient):
    job_id = await start(client, "t_slow", {"seconds": 1})
    paused = await client.post(f"/v1/jobs/{job_id}/pause", json={"note": "lunch"})
    assert paused.status_code == 200
    assert (paused.json()["state"], paused.json()["status"], paused.json()["done"]) == ("PAUSED", "running", True)
    assert (await client.post(f"/v1/jobs/{job_id}/pause")).status_code == 200, "a second pause changes nothing"
    resumed = await client.post(f"/v1/jobs/{job_id}/resume")
    assert resumed.status_code == 200
    assert resumed.json()["state"] == "RUNNING"
    assert (await ended(client, job_id))["status"] == "completed"


async def test_approve_lets_the_step_run(client: httpx2.AsyncClient):
    job_id = await start(client, "t_approval")
    job = await until(client, job_id, lambda job: job["reason"] and job["reason"]["code"] == "waiting_for_approval")
    assert (job["status"], job["reason"]["step"]) == ("running", "b")
    wrong = await client.post(f"/v1/jobs/{job_id}/approve", json={"step": "c"})
    assert wrong.status_code == 400
    assert wrong.json()["error"]["details"]["waiting"] == ["b"]
    no_form = await client.post(f"/v1/jobs/{job_id}/answers", json={"step": "b", "values": {"approved": True}})
    assert no_form.status_code == 400
    assert no_form.json()["error"]["message"] == f"Step b of job {job_id} waits for approval: approve or reject it"
    answer = await client.post(f"/v1/jobs/{job_id}/approve", json={"step": "b", "note": "looks good"})
    assert answer.status_code == 200
    assert answer.json()["done"] is True
    assert (await ended(client, job_id))["status"] == "completed"


async def test_reject_fails_the_step(client: httpx2.AsyncClient):
    job_id = await start(client, "t_approval")
    await until(client, job_id, lambda job: job["reason"] and job["reason"]["code"] == "waiting_for_approval")
    answer = await client.post(f"/v1/jobs/{job_id}/reject", json={"note": "no"})
    assert answer.status_code == 200
    job = await ended(client, job_id)
    assert (job["status"], job["error"]["step"]) == ("failed", "b")


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume", "approve", "reject"])
async def test_a_control_that_does_not_fit_the_state_is_refused(client: httpx2.AsyncClient, verb: str):
    job_id = await start(client, "t_three")
    await ended(client, job_id)
    answer = await client.post(f"/v1/jobs/{job_id}/{verb}")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_request"
    assert answer.json()["error"]["details"]["state"] == "COMPLETED"


@pytest.mark.parametrize("verb", ["resume", "approve", "reject"])
async def test_an_open_job_refuses_what_it_did_not_ask_for(client: httpx2.AsyncClient, verb: str):
    job_id = await start(client, "t_slow")
    assert (await client.post(f"/v1/jobs/{job_id}/{verb}")).status_code == 400
    await client.post(f"/v1/jobs/{job_id}/cancel")


@pytest.mark.parametrize(
    ("verb", "body", "field"),
    [
        ("cancel", {"why": "x"}, "why"),
        ("cancel", {"reason": 7}, "reason"),
        ("cancel", [], "body"),
        ("cancel", {"reason": "x" * 1001}, "reason"),
        ("pause", {"reason": "x"}, "reason"),
        ("resume", {"note": None}, "note"),
        ("approve", {"steps": ["a"]}, "steps"),
        ("reject", {"step": 1}, "step"),
    ],
)
async def test_a_wrong_control_body_is_refused(client: httpx2.AsyncClient, verb: str, body: Any, field: str):
    answer = await client.post(f"/v1/jobs/{UNKNOWN}/{verb}", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["details"]["field"] == field


async def test_a_cancellation_nobody_can_act_on_is_only_requested(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]
):
    async with (
        running_engine(temporal_address, tmp_path, orchestrator_plugins, worker=False) as idle,
        over(create_app(Fixed(idle.services)), **ADMIN) as client,
    ):
        job_id = await start(client, "t_slow")
        job = (await client.get(f"/v1/jobs/{job_id}")).json()
        assert (job["status"], job["reason"]["code"]) == ("queued", "no_worker")
        answer = await client.post(f"/v1/jobs/{job_id}/cancel")
        body = answer.json()
        assert answer.status_code == 202
        assert (body["done"], body["cancelled_at"], body["reason"]["code"]) == (False, None, "cancelling")
        assert body["status"] == "queued"


async def test_many_readers_wait_on_one_job_at_once(client: httpx2.AsyncClient, running: Engine):
    job_id = await start(client, "t_slow", {"seconds": 1})
    answers = await asyncio.gather(*(client.get(f"/v1/jobs/{job_id}", params={"wait": 30}) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert (await running.job(job_id)).state
