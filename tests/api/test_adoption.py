"""Jobs that were started in Temporal, over HTTP: their ids have any form, and every surface of a job works."""

import uuid
from urllib.parse import quote

import httpx2
import pytest

from orchestrator.testing import Engine
from tests.api.test_events import stream
from tests.api.test_jobs import until
from tests.api.test_websocket import events, known


@pytest.mark.parametrize("form", ["report-2026-11-26T08:00:00Z-{}", "Bericht für Q3 #1? {}%20"])
async def test_a_workflow_started_in_temporal_is_a_job_over_http(
    live: httpx2.AsyncClient, running: Engine, form: str
) -> None:
    id = form.format(uuid.uuid4().hex[:8])
    path = f"/v1/jobs/{quote(id, safe='')}"
    queue = running.parts.settings.task_queue
    await running.parts.backend.client.start_workflow("t_approval", {"topic": "tea"}, id=id, task_queue=queue)
    job = await until(live, quote(id, safe=""), lambda job: job["reason"]["code"] == "waiting_for_approval")
    assert (job["job_id"], job["workflow_id"], job["links"]["self"]) == (id, "t_approval", path)
    answer = await live.post(f"{path}/approve", json={"step": "b"})
    assert (answer.status_code, answer.json()["job_id"]) == (200, id)
    report = await stream(live, quote(id, safe=""))
    assert [frame.event for frame in report][-1] == "job_completed"
    ids = [frame.id for frame in report if frame.id is not None]
    page = (await live.get(job["links"]["events"], params={"after": ids[2]})).json()["events"]
    assert [event["id"] for event in page] == ids[3:]
    output = await live.get(job["links"]["output"])
    assert output.status_code == 200
    async with known(live.base_url) as socket:
        assert [event["id"] for event in events(await socket.whole(id))] == ids
    listed = (await live.get("/v1/jobs", params={"workflow_id": "t_approval"})).json()["jobs"]
    assert id in [row["job_id"] for row in listed]
    assert (await live.post(f"{path}/cancel")).status_code == 400


async def test_an_operators_start_under_a_foreign_type_waits_with_words_over_http(
    live: httpx2.AsyncClient, running: Engine
) -> None:
    id = f"nightly-{uuid.uuid4().hex[:8]}"
    queue, client = running.parts.settings.task_queue, running.parts.backend.client
    await client.start_workflow("t_unheard_of", {}, id=id, task_queue=queue)
    try:
        job = await until(live, id, lambda job: job["reason"]["code"] == "stuck")
    finally:
        await client.get_workflow_handle(id).terminate()
    assert job["reason"]["message"] == (
        f"Worker {client.identity} does not know workflow or agent 't_unheard_of'; "
        "the job waits for a worker whose plugins have it."
    )
