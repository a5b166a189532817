"""What a pass of the reconciler asks of Temporal and of the index, however many jobs wait."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine as SqlEngine
from sqlalchemy import event, update
from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsResponse
from temporalio.service import RPCError, RPCStatusCode

from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.commands import ReconcileRequest
from orchestrator.domain.jobs import JobState, ReasonCode
from orchestrator.engine import visibility
from orchestrator.services.jobs import reconciler
from orchestrator.services.jobs.reader import JobFilter
from orchestrator.storage.tables import jobs
from orchestrator.testing import TESTER, Engine, eventually, running_engine

AT_ONCE = ReconcileRequest(grace=-1.0)
_LIST, _DESCRIBE, _HISTORY = (
    "list_workflow_executions",
    "describe_workflow_execution",
    "get_workflow_execution_history",
)


@pytest.fixture
def requests(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each method of Temporal was called by the engine's own client."""
    return _counted(engine, monkeypatch)


def _counted(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    service, counts = engine.parts.backend.client.workflow_service, Counter[str]()
    for name in (_LIST, _DESCRIBE, _HISTORY):
        monkeypatch.setattr(service, name, _counting(counts, name, getattr(service, name)))
    return counts


def _counting(counts: Counter[str], name: str, method: Any) -> Any:
    async def call(*args: Any, **more: Any) -> Any:
        counts[name] += 1
        return await method(*args, **more)

    return call


@contextmanager
def statements() -> Iterator[list[str]]:
    """Every statement that is sent to the index meanwhile."""
    seen: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(SqlEngine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(SqlEngine, "before_cursor_execute", note)


async def _listed(engine: Engine, count: int) -> None:
    """Wait until the visibility store has caught up."""
    running = visibility.Visibility(engine.parts.backend.client).running
    own = {row.id for row in await engine.parts.backend.jobs.unfinished(before=engine.parts.services.reader.clock())}
    assert len(own) == count
    await eventually(running, lambda runs: own <= set(runs))


async def test_a_pass_over_waiting_jobs_reads_no_history_and_no_input(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "_MAX_RUNNING_CHECKS", 10)
    monkeypatch.setattr(visibility, "_PAGE", 10)
    async with running_engine(temporal_address, tmp_path, orchestrator_plugins, worker=False) as engine:
        for _ in range(25):
            await engine.start("t_slow", {})
        await _listed(engine, 25)
        for _ in range(3):
            await engine.parts.workers.reconciler.reconcile(AT_ONCE)
        requests = _counted(engine, monkeypatch)
        with statements() as seen:
            report = await engine.parts.workers.reconciler.reconcile(AT_ONCE)
        assert (report.checked, report.closed) == (25, 0)
        assert (requests[_DESCRIBE], requests[_HISTORY]) == (10, 0)
        assert requests[_LIST] >= 3  # other tests' jobs may be listed, too
        assert not [statement for statement in seen if "job_input" in statement]


async def test_the_more_jobs_wait_the_longer_the_list_of_running_ones_serves(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, requests: Counter[str]
) -> None:
    monkeypatch.setattr(reconciler, "_LISTED", 1)
    started = [await engine.start("t_approval", {}) for _ in range(2)]
    await engine.parts.workers.reconciler.reconcile(AT_ONCE)
    assert requests[_LIST] == 3  # the running ones, those that hang, and those that were ended by force
    await engine.services.controller.cancel(TESTER, started[0].job_id, "enough")
    await engine.parts.workers.reconciler.reconcile(AT_ONCE)
    assert requests[_LIST] == 3
    row = await engine.parts.backend.jobs.get(started[0].job_id)
    assert row is not None
    assert row.state is JobState.CANCELLED


async def test_a_job_that_was_paused_past_the_api_is_paused_in_lists(engine: Engine, requests: Counter[str]) -> None:
    started = await engine.start("t_approval", {})
    await engine.eventually(started.job_id, lambda job: job.reason.code is ReasonCode.WAITING_FOR_APPROVAL)
    await engine.parts.workers.reconciler.reconcile(AT_ONCE)
    await engine.parts.backend.client.get_workflow_handle(started.job_id).signal("pause")
    await engine.eventually(started.job_id, lambda job: job.state is JobState.PAUSED)
    await engine.parts.workers.reconciler.reconcile(AT_ONCE)
    row = await engine.parts.backend.jobs.get(started.job_id)
    assert row is not None
    assert row.state is JobState.PAUSED
    await _listed(engine, 1)
    await engine.parts.workers.reconciler.reconcile(AT_ONCE)
    requests.clear()
    await engine.parts.workers.reconciler.reconcile(AT_ONCE)
    assert (requests[_DESCRIBE], requests[_HISTORY]) == (1, 0)


async def test_nothing_false_is_written_while_visibility_lists_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = await engine.start("t_approval", {})
    await engine.eventually(started.job_id, lambda job: job.reason.code is ReasonCode.WAITING_FOR_APPROVAL)

    async def lagging(*_: Any, **__: Any) -> ListWorkflowExecutionsResponse:
        return ListWorkflowExecutionsResponse()

    monkeypatch.setattr(engine.parts.backend.client.workflow_service, _LIST, lagging)
    report = await engine.parts.workers.reconciler.reconcile(AT_ONCE)
    assert (report.checked, report.closed, report.dropped) == (1, 0, 0)
    assert (await engine.job(started.job_id)).state is JobState.RUNNING


@pytest.mark.parametrize("status", [RPCStatusCode.UNAVAILABLE, RPCStatusCode.INVALID_ARGUMENT])
async def test_jobs_are_closed_although_visibility_does_not_answer(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, status: RPCStatusCode
) -> None:
    started = [await engine.start("t_approval", {}) for _ in range(2)]
    for each in started:
        await engine.eventually(each.job_id, lambda job: job.reason.code is ReasonCode.WAITING_FOR_APPROVAL)
    await engine.parts.backend.client.get_workflow_handle(started[0].job_id).terminate(reason="gone")

    async def broken(*_: Any, **__: Any) -> ListWorkflowExecutionsResponse:
        raise RPCError("no visibility store", status, b"")

    monkeypatch.setattr(engine.parts.backend.client.workflow_service, _LIST, broken)
    report = await engine.parts.workers.reconciler.reconcile(AT_ONCE)
    assert (report.checked, report.closed) == (2, 1)
    assert [(await engine.job(each.job_id)).state for each in started] == [JobState.CANCELLED, JobState.RUNNING]


async def test_jobs_of_another_temporal_do_not_hold_up_those_of_this_one(engine: Engine) -> None:
    template = await engine.run("t_echo", {})
    record = await engine.parts.backend.jobs.get(template.id)
    assert record is not None
    for n in range(2):
        foreign = record.job.model_copy(update={"job_id": f"{template.id}{n}"})
        await engine.parts.backend.jobs.accept(foreign, request_hash="x", at=record.created_at)
        await engine.parts.backend.jobs.started(foreign.job_id, "run", "the namespace of another server")
    assert (await engine.parts.workers.reconciler.reconcile(AT_ONCE)).closed == 0
    page = await engine.services.reader.list(TESTER, JobFilter(attention=True))
    assert {row.reason_code for row in page.rows} == {ReasonCode.STUCK}
    assert page.total == 2
    started = await engine.start("t_slow", {})
    await engine.parts.backend.client.get_workflow_handle(started.job_id).terminate(reason="gone")
    long_ago = update(jobs).where(jobs.c.id != started.job_id).values(checked_at=record.created_at)
    await engine.parts.backend.database.autocommit(lambda connection: connection.execute(long_ago).close())
    await eventually(
        visibility.Visibility(engine.parts.backend.client).running, lambda runs: started.job_id not in runs
    )
    assert (await engine.parts.workers.reconciler.reconcile(ReconcileRequest(grace=-1.0, limit=1))).closed == 1


async def test_a_pass_prunes_what_is_older_than_the_settings_say(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]
) -> None:
    async with running_engine(temporal_address, tmp_path, orchestrator_plugins, keep_events_days=1) as engine:
        old, new = [await engine.run("t_echo", {}) for _ in range(2)]
        await engine.services.reader.settle()
        long_ago = update(jobs).where(jobs.c.id == old.id).values(closed_at=old.created_at - timedelta(days=2))
        await engine.parts.backend.database.autocommit(lambda connection: connection.execute(long_ago).close())
        assert (await engine.parts.workers.reconciler.reconcile(AT_ONCE)).pruned == 1
        assert await engine.parts.backend.jobs.events(old.id) is None
        assert await engine.parts.backend.jobs.events(new.id) is not None


async def test_lists_tell_why_jobs_wait_though_nobody_reads_them(engine: Engine) -> None:
    async def listed(**chosen: Any) -> list[str]:
        await engine.parts.workers.reconciler.reconcile(AT_ONCE)
        page = await engine.services.reader.list(TESTER, JobFilter(**chosen))
        assert page.total == len(page.rows)
        return [row.id for row in page.rows]

    asking = (await engine.start("t_approval", {})).job_id
    slow = (await engine.start("t_slow", {})).job_id
    await eventually(
        lambda: listed(reasons=[ReasonCode.WAITING_FOR_APPROVAL]), lambda found: found == [asking], seconds=60
    )
    await eventually(lambda: listed(reasons=[ReasonCode.RUNNING]), lambda found: found == [slow])
    assert await listed(attention=True) == [asking]
    assert await listed(attention=True, reasons=[ReasonCode.RUNNING]) == []
    assert await listed(attention=True, states=[JobState.FAILED]) == []
    page = await engine.services.reader.list(TESTER, JobFilter(reasons=[ReasonCode.WAITING_FOR_APPROVAL]))
    reason = page.reason(page.rows[0])
    assert reason is not None
    assert (reason.code, reason.message) == (ReasonCode.WAITING_FOR_APPROVAL, "Go on?")
    assert reason.since is not None
    assert reason.seen_at is not None
    assert reason.since <= reason.seen_at
    await engine.services.controller.approve(TESTER, asking, "b")
    await engine.ended(asking)
    await eventually(lambda: listed(attention=True), lambda found: found == [])


async def test_a_stuck_job_is_in_the_list_of_what_needs_attention(engine: Engine) -> None:
    started = await engine.start("t_approval", {})
    await engine.eventually(started.job_id, lambda job: job.reason.code is ReasonCode.WAITING_FOR_APPROVAL)
    # A job that says that it runs code of a class which no worker has: its tasks fail until one does.
    record = await engine.parts.backend.jobs.get(started.job_id)
    assert record is not None
    stuck = record.job.model_copy(update={"job_id": "wf_job_without_class", "code": True})
    await engine.parts.backend.jobs.accept(stuck, request_hash="x", at=record.created_at)
    run_id = await engine.parts.backend.gateway.start(stuck)
    await engine.parts.backend.jobs.started(stuck.job_id, run_id, await engine.parts.backend.gateway.namespace_id())

    async def reasons() -> dict[str, ReasonCode | None]:
        await engine.parts.workers.reconciler.reconcile(AT_ONCE)
        page = await engine.services.reader.list(TESTER, JobFilter(attention=True))
        return {row.id: row.reason_code for row in page.rows}

    wanted = {started.job_id: ReasonCode.WAITING_FOR_APPROVAL, stuck.job_id: ReasonCode.STUCK}
    await eventually(reasons, lambda found: found == wanted)


async def test_lists_say_at_once_that_no_worker_is_there(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]
) -> None:
    async with running_engine(temporal_address, tmp_path, orchestrator_plugins, worker=False) as engine:
        started = await engine.start("t_slow", {})
        for chosen in (JobFilter(), JobFilter(attention=True), JobFilter(reasons=[ReasonCode.NO_WORKER])):
            page = await engine.services.reader.list(TESTER, chosen)
            (row,) = page.rows
            reason = page.reason(row)
            assert (page.total, row.id) == (1, started.job_id)
            assert reason is not None
            assert (reason.code, reason.seen_at) == (ReasonCode.NO_WORKER, None)
        assert (await engine.services.reader.list(TESTER, JobFilter(reasons=[ReasonCode.QUEUED]))).total == 0
