"""An operator resets a job in Temporal: it goes on, for everybody who waits for it, and nothing calls it ended."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import ResetReapplyExcludeType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import WorkflowFailureError

from orchestrator.domain.commands import ReconcileRequest
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import JobState
from orchestrator.services.jobs.start import StartRequest
from orchestrator.testing import TESTER, Engine, eventually, running_engine
from tests.api.test_events import stream
from tests.api.test_jobs import until
from tests.api.test_websocket import events, known
from tests.catalogue import TEST_PLUGIN
from tests.fakes.webhook_receiver import Answer, Receiver, receiving
from workflows.starts import search_attributes_of

FIRST_TASK = 4


async def reset(running: Engine, job_id: str, event_id: int = FIRST_TASK) -> str:
    """Reset a job to the workflow task that ends with this event; the new run's id."""
    client = running.parts.backend.client
    described = await client.get_workflow_handle(job_id).describe()
    request = ResetWorkflowExecutionRequest(
        namespace=client.namespace,
        workflow_execution=WorkflowExecution(workflow_id=job_id, run_id=described.run_id),
        reason="an operator's reason",
        workflow_task_finish_event_id=event_id,
        # By itself a reset sends the signals again that came after that point, approvals included.
        reset_reapply_exclude_types=[ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL],
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
    report = await names(live, job_id)
    assert report.count("job.reset") == 1
    assert report.count("agent.completed") == len(job["steps"])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def telling(temporal_address: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    """An engine that may call this machine."""
    folder = tmp_path_factory.mktemp("resets")
    async with running_engine(temporal_address, folder, [TEST_PLUGIN], webhook_allow_private=True) as engine:
        yield engine


def bodies(hook: Receiver) -> list[dict[str, Any]]:
    return [json.loads(request.body) for request in hook.requests]


async def sent(hook: Receiver, count: int) -> None:
    async def look() -> int:
        return len(hook.requests)

    await eventually(look, lambda seen: seen == count)


async def completed_once(telling: Engine, url: str) -> str:
    """A job with an approval that has completed, and whose callback received that; its id."""
    request = StartRequest(kind=JobKind.WORKFLOW, target="t_approval", input={}, webhook_url=url)
    job_id = (await telling.services.starter.start(TESTER, request)).job_id
    await telling.eventually(job_id, lambda job: job.waiting_steps == ["b"])
    await telling.services.controller.approve(TESTER, job_id, "b")
    await telling.ended(job_id)
    return job_id


async def test_an_ended_job_that_is_reset_shows_as_going_on_and_its_second_end_is_sent_and_marked(telling: Engine):
    async with receiving(Answer(status=200)) as hook:
        job_id = await completed_once(telling, hook.url)
        await sent(hook, 1)
        first = await telling.job(job_id)
        new_run = await reset(telling, job_id)
        await reconciled(telling, job_id)
        job = await telling.eventually(job_id, lambda job: job.waiting_steps == ["b"])
        assert (job.state, job.run_id, job.result) == (JobState.RUNNING, new_run, None)
        row = await telling.parts.backend.jobs.get(job_id)
        assert (row.state, row.closed_at, row.run_id) == (JobState.RUNNING, None, new_run)
        await telling.services.controller.reject(TESTER, job_id, "b")
        job = await telling.ended(job_id)
        assert (job.state, job.run_id) == (JobState.FAILED, new_run)
        names = [event.name for event in await telling.services.follower.past(TESTER, job_id, None)]
        assert (names.count("job.reset"), names.count("job.completed"), names[-1]) == (1, 0, "job.failed")
        await sent(hook, 2)
        report, again = bodies(hook)
        assert (report["event"], again["event"]) == ("job.completed", "job.failed")
        assert "replaces_earlier_end" not in report["data"]
        assert again["data"]["replaces_earlier_end"] is True
        assert first.closed_at < job.closed_at


async def test_a_reset_job_that_ends_before_anybody_looked_has_its_second_end_in_the_index(telling: Engine):
    async with receiving(Answer(status=200)) as hook:
        request = StartRequest(kind=JobKind.WORKFLOW, target="t_flaky", input={"failures": 1}, webhook_url=hook.url)
        job_id = (await telling.services.starter.start(TESTER, request)).job_id
        first = await telling.ended(job_id)
        await sent(hook, 1)
        new_run = await reset(telling, job_id)
        job = await telling.eventually(job_id, lambda job: job.run_id == new_run and job.state.terminal)
        assert job.closed_at > first.closed_at
        # The call was made again, and paid again.
        assert job.usage.total_tokens == 2 * first.usage.total_tokens > 0
        assert [one.number for one in job.calls[0].attempts] == [1, 2]
        row = await telling.parts.backend.jobs.get(job_id)
        assert (row.state, row.run_id) == (JobState.COMPLETED, new_run)
        await sent(hook, 2)
        assert bodies(hook)[1]["data"]["replaces_earlier_end"] is True


async def test_who_read_the_job_before_its_reset_cannot_close_it(telling: Engine):
    async with receiving(Answer(status=200)) as hook:
        job_id = await completed_once(telling, hook.url)
        ended = await telling.job(job_id)
        facts, _ = await telling.parts.backend.gateway.read(job_id)
        await reset(telling, job_id)
        await reconciled(telling, job_id)
        assert not await telling.services.reader.close(ended, facts)
        assert (await telling.eventually(job_id, lambda job: job.waiting_steps == ["b"])).state is JobState.RUNNING
        await telling.services.controller.cancel(TESTER, job_id, "")


async def reconciled(telling: Engine, job_id: str) -> None:
    """The reconciler has noticed that the job goes on: visibility lags behind by moments."""

    async def state() -> JobState:
        await telling.parts.workers.reconciler.reconcile(ReconcileRequest(grace=-1.0))
        return (await telling.parts.backend.jobs.get(job_id)).state

    await eventually(state, lambda state: state is JobState.RUNNING)


async def test_a_reset_job_that_is_ended_by_force_before_anybody_looked_has_that_end(telling: Engine):
    async with receiving(Answer(status=200)) as hook:
        job_id = await completed_once(telling, hook.url)
        await sent(hook, 1)
        new_run = await reset(telling, job_id)
        await telling.parts.backend.client.get_workflow_handle(job_id).terminate("enough")

        async def look() -> tuple[str, JobState]:
            await telling.parts.workers.reconciler.reconcile(ReconcileRequest(grace=-1.0))
            row = await telling.parts.backend.jobs.get(job_id)
            return row.run_id, row.state

        await eventually(look, lambda seen: seen == (new_run, JobState.CANCELLED))
        assert (await telling.job(job_id)).error.type == "terminated"
        await sent(hook, 2)
        assert bodies(hook)[1]["data"]["replaces_earlier_end"] is True


@pytest.mark.parametrize("as_the_api_does", [False, True], ids=["plain", "with the job's own input"])
async def test_another_workflow_under_the_id_of_an_ended_job_does_not_become_that_job(
    telling: Engine, as_the_api_does: bool
):
    async with receiving(Answer(status=200)) as hook:
        job_id = await completed_once(telling, hook.url)
        await sent(hook, 1)
        first = await telling.job(job_id)
        given = await telling.services.starter.composed(
            StartRequest(kind=JobKind.WORKFLOW, target="t_three", input={"mine": 1}), owner="thief", job_id=job_id
        )
        again = await telling.parts.backend.client.start_workflow(
            "t_three",
            given if as_the_api_does else {"mine": 1},
            id=job_id,
            task_queue=telling.parts.backend.gateway._task_queue,
            search_attributes=search_attributes_of(given) if as_the_api_does else None,
        )
        if as_the_api_does:
            await again.result()
        else:
            with pytest.raises(WorkflowFailureError) as refused:
                await again.result()
            assert "is the id of a job that has ended" in str(refused.value.cause)
        await telling.parts.workers.reconciler.reconcile(ReconcileRequest(grace=-1.0))
        assert await telling.job(job_id) == first
        assert len(hook.requests) == 1
