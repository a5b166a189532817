"""Child jobs: a row before the start, lineage, one cost, cancel, failure, retry, and the index away."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.worker import Replayer

from orchestrator.domain.access import Principal, Scope
from orchestrator.domain.call_ids import CallId
from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.children import child_request
from orchestrator.domain.commands import ReconcileRequest
from orchestrator.domain.errors import NotFound, Unavailable
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import AgentCall, CallStatus, Job, JobState
from orchestrator.engine.plugin import OrchestratorPlugin
from orchestrator.plugins import BUILT_IN
from orchestrator.services.jobs.reader import JobFilter
from orchestrator.services.jobs.start import StartRequest
from orchestrator.testing import Engine, eventually, running_engine
from tests.catalogue import TEST_PLUGIN
from tests.flow_workflows import FLOW_PLUGIN, ParentFlow

ALICE = Principal(id="alice", scopes=frozenset({Scope.JOBS_READ, Scope.WORKFLOWS_RUN, Scope.JOBS_CANCEL}))


@pytest.fixture(scope="session")
def orchestrator_plugins() -> list[Plugin]:
    return [BUILT_IN, TEST_PLUGIN, FLOW_PLUGIN]


async def _start(engine: Engine, child: str, input: dict[str, Any], **more: Any) -> str:
    request = StartRequest(
        kind=JobKind.WORKFLOW,
        target="f_parent",
        input={"child": child, "with": input, **more},
        labels={"customer": "acme"},
    )
    return (await engine.services.starter.start(ALICE, request)).job_id


def _child_call(job: Job) -> AgentCall:
    return next(call for call in job.calls if call.step == "sub")


async def test_a_child_is_a_call_of_its_parent_and_a_job_of_its_own(engine: Engine) -> None:
    parent = await engine.ended(await _start(engine, "t_three", {"topic": "tea"}))
    assert (parent.state, parent.error) == (JobState.COMPLETED, None)
    call = _child_call(parent)
    assert (call.agent, call.key, call.status) == ("t_three", "one", CallStatus.COMPLETED)
    assert call.child is not None
    child = await engine.ended(call.child)
    assert (child.state, child.owner, child.input) == (JobState.COMPLETED, "alice", {"topic": "tea"})
    assert child.labels == {"customer": "acme", "started_by": "parent", "parent": parent.id}
    assert parent.result is not None
    assert child.result is not None
    assert parent.result["output"] == child.result["output"]
    rows = (await engine.services.reader.list(ALICE, JobFilter(labels={"parent": parent.id}))).rows
    assert [row.id for row in rows] == [child.id]
    names = [event.name for event in await engine.services.follower.past(ALICE, parent.id, None)]
    assert [name for name in names if name.startswith("child.")] == ["child.started", "child.completed"]
    assert "job.adopted" not in [event.name for event in await engine.services.follower.past(ALICE, child.id, None)]
    await Replayer(workflows=[ParentFlow], plugins=[OrchestratorPlugin()]).replay_workflow(
        await engine.history(parent.id)
    )


async def test_the_cost_of_a_child_counts_once_in_its_parent(engine: Engine) -> None:
    parent = await engine.ended(await _start(engine, "market_research", {"topic": "skates"}))
    call = _child_call(parent)
    assert call.child is not None, parent.error
    child = await engine.job(call.child)
    assert child.usage.total_tokens > 0
    assert (call.usage, parent.usage) == (child.usage, child.usage)
    assert [row.agent for row in await engine.parts.backend.attempts.for_job(parent.id)] == ["f_grader", "f_grader"]


async def test_a_child_with_a_wrong_input_fails_its_call_and_leaves_no_row(engine: Engine) -> None:
    parent = await engine.ended(await _start(engine, "t_strict", {}))
    assert parent.error is not None
    assert (parent.error.type, parent.error.step, parent.error.agent) == ("invalid_input", "sub", "t_strict")
    call = _child_call(parent)
    assert (call.status, call.error and call.error.type) == (CallStatus.FAILED, "invalid_input")
    assert (await engine.services.reader.list(ALICE, JobFilter(labels={"parent": parent.id}))).total == 0


async def test_an_unknown_workflow_fails_the_call_by_name(engine: Engine) -> None:
    parent = await engine.ended(await _start(engine, "t_thre", {}))
    assert parent.error is not None
    assert "t_thre" in parent.error.message
    assert parent.error.step == "sub"


async def test_a_workflow_that_starts_itself_ends(engine: Engine) -> None:
    parent = await engine.ended(await _start(engine, "f_recursive", {}))
    assert parent.error is not None
    assert (parent.state, parent.error.type) == (JobState.FAILED, "invalid_input")
    assert "at most 10" in parent.error.message
    assert (await engine.services.reader.list(ALICE, JobFilter(definition="f_recursive"))).total == 10


async def test_the_failure_of_a_child_fails_its_call(engine: Engine) -> None:
    parent = await engine.ended(await _start(engine, "t_broken", {}))
    assert parent.state is JobState.FAILED
    assert parent.error is not None
    assert (parent.error.type, parent.error.step, parent.error.agent) == ("provider_rejected", "sub", "t_broken")
    call = _child_call(parent)
    assert call.child is not None
    assert call.child in parent.error.message
    assert (call.status, (await engine.job(call.child)).state) == (CallStatus.FAILED, JobState.FAILED)


async def test_the_cancel_of_a_parent_cancels_the_child_first(engine: Engine) -> None:
    job_id = await _start(engine, "t_slow", {})
    running = await engine.eventually(job_id, lambda job: any(call.child for call in job.calls))
    child = _child_call(running).child or ""
    await engine.eventually(child, lambda job: job.state is JobState.RUNNING)
    await engine.services.controller.cancel(ALICE, job_id, "enough")
    parent = await engine.ended(job_id)
    assert (parent.state, _child_call(parent).status) == (JobState.CANCELLED, CallStatus.CANCELLED)
    assert (await engine.job(child)).state is JobState.CANCELLED


async def test_a_child_that_is_cancelled_alone_fails_its_call(engine: Engine) -> None:
    job_id = await _start(engine, "t_slow", {})
    running = await engine.eventually(job_id, lambda job: any(call.child for call in job.calls))
    child = _child_call(running).child or ""
    await engine.eventually(child, lambda job: job.state is JobState.RUNNING)
    await engine.services.controller.cancel(ALICE, child, "only this one")
    parent = await engine.ended(job_id)
    assert (parent.state, _child_call(parent).status) == (JobState.FAILED, CallStatus.CANCELLED)
    assert parent.error is not None
    assert "only this one" in parent.error.message


async def test_a_retry_reuses_a_finished_child(engine: Engine) -> None:
    first = await engine.ended(await _start(engine, "market_research", {"topic": "skates"}, fails=True))
    assert first.state is JobState.FAILED
    started, retry = await engine.services.retrier.retry(ALICE, first.id)
    assert {(call.step, call.agent) for call in retry.calls} == {("before", "f_grader"), ("sub", "market_research")}
    again = await engine.ended(started.job_id)
    call = _child_call(again)
    assert (call.status, call.reused_from, call.usage.total_tokens) == (CallStatus.COMPLETED, first.id, 0)
    assert call.reused == _child_call(first).usage
    assert (await engine.services.reader.list(ALICE, JobFilter(labels={"parent": again.id}))).total == 0


async def test_a_child_starts_while_the_index_is_away(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    accept, jobs = type(engine.parts.backend.jobs).accept, engine.parts.backend.jobs
    away = iter([True])

    async def refuse(self: Any, job: Any, **more: Any) -> Any:
        if job.definition == "t_three" and next(away, False):
            raise Unavailable("the index is away")
        return await accept(self, job, **more)

    monkeypatch.setattr(type(jobs), "accept", refuse)
    parent = await engine.ended(await _start(engine, "t_three", {}))
    call = _child_call(parent)
    assert (parent.state, call.status) == (JobState.COMPLETED, CallStatus.COMPLETED)
    assert call.child is not None
    row = await eventually(lambda: jobs.get(call.child or ""), lambda row: row is not None)
    assert (row.owner, row.job.labels["parent"]) == ("alice", parent.id)


async def test_a_child_whose_parent_ended_before_its_start_is_dropped(engine: Engine) -> None:
    parent = await engine.ended(await _start(engine, "t_three", {}))
    child = await engine.parts.backend.jobs.get(_child_call(parent).child or "")
    assert child is not None
    orphan = child.job.model_copy(update={"job_id": f"{child.id}_orphan"})
    await engine.parts.backend.jobs.accept(orphan, request_hash="x", at=child.created_at, runs=True)
    report = await engine.parts.workers.reconciler.reconcile(ReconcileRequest(grace=-1.0))
    assert (report.dropped, report.started) == (1, 0)
    with pytest.raises(NotFound):
        await engine.job(orphan.job_id)


async def test_a_child_that_the_reconciler_started_is_waited_for(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]
) -> None:
    async with running_engine(temporal_address, tmp_path, orchestrator_plugins, worker=False) as engine:
        backend = engine.parts.backend
        parent_id = await _start(engine, "t_three", {})
        parent = await backend.jobs.get(parent_id)
        assert parent is not None
        call = CallId("sub", "t_three", key="one")
        request = child_request(
            parent.job, call, parent=parent_id, input={}, config=None, at=datetime.now(UTC) - timedelta(minutes=1)
        )
        service = engine.parts.workers.child_jobs()
        child = await service.open(request)
        report = await engine.parts.workers.reconciler.reconcile(ReconcileRequest())
        assert report.started == 1
        async with engine.parts.workers.for_jobs():
            job = await engine.ended(parent_id)
        assert (job.state, _child_call(job).child, _child_call(job).status) == (
            JobState.COMPLETED,
            child.job_id,
            CallStatus.COMPLETED,
        )
        assert await service.open(request) == child
