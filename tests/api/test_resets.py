"""An operator resets a job in Temporal: it goes on, for everybody who waits for it, and nothing calls it ended."""

import asyncio
import uuid
from typing import Any

import httpx2
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest

from orchestrator.testing import Engine
from tests.api.test_events import stream
from tests.api.test_jobs import until
from tests.api.test_websocket import events, known

FIRST_TASK = 4


async def reset(running: Engine, job_id: str, event_id: int = FIRST_TASK) -> str:
    """Reset a job to the workflow task that ends with this event; the new run's id."""
    client = running.parts.ground.client
    described = await client.get_workflow_handle(job_id).describe()
    request = ResetWorkflowExecutionRequest(
        namespace=client.namespace,
        workflow_execution=WorkflowExecution(workflow_id=job_id, run_id=described.run_id),
        reason="an operator's reason",
        workflow_task_finish_event_id=event_id,
        request_id=uuid.uuid4().hex,
    )
    return (await client.workflow_service.reset_workflow_execution(request)).run_id


def waits_for_approval(job: dict[str, Any]) -> bool:
    return job["reason"] is not None and job["reason"]["code"] == "waiting_for_approval"


async def names(client: httpx2.AsyncClient, job_id: str) -> list[str]:
    page = (await client.get(f"/v1/jobs/{job_id}/events", params={"limit": 1000})).json()
    return [event["name"] for event in page["events"]]


async def test_everybody_who_waits_for_an_open_job_sees_the_end_that_temporal_gives_it(
    live: httpx2.AsyncClient, running: Engine
):
    key = uuid.uuid4().hex
    body = {"input": {}, "async": True}
    headers = {"Idempotency-Key": key}
    job_id = (await live.post("/v1/workflows/t_approval/run", json=body, headers=headers)).json()["job_id"]
    await until(live, job_id, waits_for_approval)

    async def socket() -> list[dict]:
        async with known(live.base_url) as client:
            return events(await client.whole(job_id))

    sync = live.post("/v1/workflows/t_approval/run", json={"input": {}}, headers=headers, timeout=90)
    waits = [
        asyncio.create_task(sync),
        asyncio.create_task(live.get(f"/v1/jobs/{job_id}", params={"wait": 60, "until": "end"}, timeout=90)),
        asyncio.create_task(stream(live, job_id)),
        asyncio.create_task(socket()),
    ]
    await asyncio.sleep(1)  # all of them wait now
    new_run = await reset(running, job_id)
    await running.eventually(job_id, lambda job: job.run_id == new_run and job.waiting_steps == ["b"])
    job = (await live.get(f"/v1/jobs/{job_id}")).json()
    assert job["state"] == "RUNNING"
    assert not [wait for wait in waits if wait.done()]
    assert (await live.post(f"/v1/jobs/{job_id}/approve", json={"step": "b"})).status_code == 200
    answered, waited, streamed, sent = await asyncio.wait_for(asyncio.gather(*waits), 60)
    assert (answered.status_code, answered.json()["status"]) == (200, "completed")
    assert waited.json()["state"] == "COMPLETED"
    assert [frame.data["name"] for frame in streamed if frame.id][-1] == "job.completed"
    assert [event["name"] for event in sent][-1] == "job.completed"
    seen = [frame.id for frame in streamed if frame.id]
    assert seen == [event["id"] for event in sent]
    assert len(set(seen)) == len(seen)
    told = await names(live, job_id)
    assert told.count("job.reset") == 1
    assert told.count("agent.completed") == len(job["steps"])
