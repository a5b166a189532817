"""The index beside the engine: never the authority, never in the way, repaired from history."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import delete, update
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest

from orchestrator.domain.access import Principal
from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.commands import ReconcileRequest
from orchestrator.domain.errors import IdempotencyReuse, InvalidInput, NotFound, PayloadTooLarge, WrongState
from orchestrator.domain.jobs import AttemptStatus, CallStatus, JobState, ReasonCode, StartState
from orchestrator.services.jobs.reader import JobFilter
from orchestrator.storage.tables import attempts, jobs
from orchestrator.testing import TESTER, Engine, eventually, running_engine

AT_ONCE = ReconcileRequest(grace=-1.0)


async def test_lists_are_exact_and_filtered(engine: Engine) -> None:
    for _ in range(3):
        await engine.run("t_echo", {})
    await engine.run("t_broken", {})
    page = await engine.services.reader.list(TESTER, JobFilter(limit=2))
    assert (len(page.rows), page.total) == (2, 4)
    failed = await engine.services.reader.list(TESTER, JobFilter(states=[JobState.FAILED]))
    assert [(row.definition, row.state) for row in failed.rows] == [("t_broken", JobState.FAILED)]
    nobody = Principal(id="nobody", scopes=frozenset())
    assert (await engine.services.reader.list(nobody, JobFilter())).total == 0


async def test_the_worker_closes_the_row_of_a_job_without_an_event_in_its_history(engine: Engine) -> None:
    names = await _history_of_closed(engine, (await engine.start("t_echo", {})).job_id)
    assert names.count(EventType.EVENT_TYPE_MARKER_RECORDED) == 0


async def test_a_job_that_an_earlier_release_started_records_its_end_by_an_activity(engine: Engine) -> None:
    backend = engine.parts.backend
    record = await backend.jobs.get((await engine.run("t_echo", {})).id)
    assert record is not None
    old = record.job.model_copy(update={"job_id": f"{record.id}_old", "reports_end": False})
    await backend.jobs.accept(old, request_hash="old", at=record.created_at)
    await backend.gateway.start(old)
    names = await _history_of_closed(engine, old.job_id)
    assert names.count(EventType.EVENT_TYPE_MARKER_RECORDED) == 1


async def _history_of_closed(engine: Engine, job_id: str) -> list[int]:
    """The types of the events of a job whose row was closed, though nobody has read the job."""
    handle = engine.parts.backend.client.get_workflow_handle(job_id)
    await handle.result()

    jobs_index = engine.parts.backend.jobs
    await eventually(lambda: jobs_index.get(job_id), lambda row: row is not None and row.state is JobState.COMPLETED)
    assert await jobs_index.snapshot(job_id) is None
    return [event.event_type for event in (await handle.fetch_history()).events]


async def test_an_outcome_that_the_index_refuses_does_not_change_how_the_job_ends(engine: Engine) -> None:
    started = await engine.start("t_slow", {"seconds": 0.5})
    with sqlite3.connect(engine.parts.settings.data_dir / "index.sqlite3") as index:
        index.execute(
            "CREATE TRIGGER refuse BEFORE UPDATE OF closed_at ON jobs BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
        index.commit()
        result = await engine.parts.backend.client.get_workflow_handle(started.job_id).result()
        assert result["status"] == "success"
        index.execute("DROP TRIGGER refuse")
        index.commit()
    await engine.parts.workers.reconciler.reconcile(AT_ONCE)
    assert (await engine.job(started.job_id)).state is JobState.COMPLETED


async def test_another_owners_job_is_unknown(engine: Engine) -> None:
    job = await engine.run("t_echo", {})
    with pytest.raises(NotFound):
        await engine.services.reader.get(Principal(id="nobody", scopes=frozenset()), job.id)


async def test_a_closed_job_is_read_in_full_after_temporal_forgot_it(engine: Engine) -> None:
    job = await engine.run("t_three", {"topic": "tea"})
    events = await engine.services.follower.past(TESTER, job.id, None)
    await engine.services.reader.get(TESTER, job.id)
    await forget(engine, job.id)
    assert await engine.job(job.id) == await engine.job(job.id)
    again = await engine.job(job.id)
    assert (again.state, again.result, again.calls) == (job.state, job.result, job.calls)
    assert await engine.services.follower.past(TESTER, job.id, None) == events


async def test_a_job_whose_events_are_no_longer_kept_still_reports_its_end(engine: Engine) -> None:
    job = await engine.run("t_echo", {})
    await engine.services.reader.get(TESTER, job.id)
    *_, last = await engine.services.follower.past(TESTER, job.id, None)
    pruned = update(jobs).where(jobs.c.id == job.id).values(events=None)
    await engine.parts.backend.database.autocommit(lambda connection: connection.execute(pruned).close())
    await forget(engine, job.id)
    events = [event async for event in engine.services.follower.events(TESTER, job.id, None)]
    assert [event.model_dump(exclude={"id", "current_step"}) for event in events] == [
        last.model_dump(exclude={"id", "current_step"})
    ]


async def test_the_events_of_a_job_that_was_deleted_in_temporal_end(engine: Engine) -> None:
    started = await engine.start("t_slow", {})
    await engine.eventually(started.job_id, lambda job: job.state is JobState.RUNNING)
    await forget(engine, started.job_id)
    await engine.parts.workers.reconciler.reconcile(AT_ONCE)
    events = [event async for event in engine.services.follower.events(TESTER, started.job_id, None)]
    assert [event.name for event in events] == ["job.cancelled"]


async def test_what_was_finished_before_a_job_failed_is_kept_for_good(engine: Engine) -> None:
    started = await engine.start("t_approval", {"topic": "tea"})
    await engine.eventually(started.job_id, lambda job: job.reason.code is ReasonCode.WAITING_FOR_APPROVAL)
    await engine.services.controller.reject(TESTER, started.job_id, None, "not this year")
    job = await engine.ended(started.job_id)
    assert (job.state, job.result) == (JobState.FAILED, None)
    left = await engine.services.outputs.get(TESTER, job.id)
    assert left["status"] == "partial"
    assert [item["step"] for item in left["deliverables"]] == ["a"]
    assert [(error["step"], error["message"]) for error in left["metadata"]["failed"]] == [("b", "not this year")]
    await forget(engine, job.id)
    assert await engine.services.outputs.get(TESTER, job.id) == left


async def test_what_was_finished_before_a_job_was_terminated_is_kept_without_anybody_asking(engine: Engine) -> None:
    started = await engine.start("t_approval", {})
    await engine.eventually(started.job_id, lambda job: job.reason.code is ReasonCode.WAITING_FOR_APPROVAL)
    await engine.parts.backend.client.get_workflow_handle(started.job_id).terminate(reason="gone")
    assert (await engine.parts.workers.reconciler.reconcile(AT_ONCE)).closed == 1
    await forget(engine, started.job_id)
    left = await engine.services.outputs.get(TESTER, started.job_id)
    assert (left["status"], {item["step"] for item in left["deliverables"]}) == ("partial", {"a"})


async def test_large_answers_of_a_job_that_was_cancelled_are_whole(engine: Engine) -> None:
    started = await engine.start("t_big_approval", {"kilobytes": 300})
    await engine.eventually(started.job_id, lambda job: job.reason.code is ReasonCode.WAITING_FOR_APPROVAL)
    await engine.services.controller.cancel(TESTER, started.job_id, "enough")
    await engine.ended(started.job_id)
    left = await engine.services.outputs.get(TESTER, started.job_id)
    contents = {item["path"]: item["content"] for item in left["deliverables"]}
    assert contents["a.txt"] == "x" * 1024 * 300


async def test_a_job_that_finished_no_call_has_no_output(engine: Engine) -> None:
    started = await engine.start("t_slow", {})
    await engine.services.controller.cancel(TESTER, started.job_id, "enough")
    await engine.ended(started.job_id)
    with pytest.raises(WrongState, match="its state is CANCELLED"):
        await engine.services.outputs.get(TESTER, started.job_id)


async def test_attempts_that_the_index_missed_are_written_when_their_job_is_closed(engine: Engine) -> None:
    started = await engine.start("t_approval", {})
    await engine.eventually(started.job_id, lambda job: job.reason.code is ReasonCode.WAITING_FOR_APPROVAL)
    lost = delete(attempts).where(attempts.c.job_id == started.job_id)
    await engine.parts.backend.database.autocommit(lambda connection: connection.execute(lost).close())
    await engine.approve(started.job_id)
    job = await engine.ended(started.job_id)
    await engine.parts.services.reader.settle()
    rows = await engine.parts.backend.attempts.for_job(started.job_id)
    assert [(row.step, row.attempt.status) for row in rows] == [(step, AttemptStatus.COMPLETED) for step in "abc"]
    assert all(row.attempt.usage == call.usage for row, call in zip(rows, job.calls, strict=True))
    assert all(row.attempt.started_at and row.attempt.completed_at for row in rows)


async def test_a_repeated_start_of_a_job_that_ran_unnoticed_by_the_index_is_the_same_job(engine: Engine) -> None:
    first = await engine.start("t_echo", {}, idempotency_key="unnoticed")
    await engine.ended(first.job_id)
    await engine.services.reader.settle()
    forgotten = update(jobs).where(jobs.c.id == first.job_id).values(start_state=StartState.ACCEPTED)
    await engine.parts.backend.database.autocommit(lambda connection: connection.execute(forgotten).close())
    again = await engine.start("t_echo", {}, idempotency_key="unnoticed")
    assert (again.job_id, again.replayed) == (first.job_id, True)


async def test_the_reconciler_closes_what_ended_without_a_word(engine: Engine) -> None:
    started = await engine.start("t_slow", {})
    await engine.eventually(started.job_id, lambda job: job.calls[0].status is CallStatus.RUNNING)
    await engine.parts.backend.client.get_workflow_handle(started.job_id).terminate(reason="gone")
    report = await engine.parts.workers.reconciler.reconcile(AT_ONCE)
    assert (report.checked, report.closed) == (1, 1)
    row = await engine.parts.backend.jobs.get(started.job_id)
    assert row is not None
    assert row.state is JobState.CANCELLED
    assert (await engine.parts.workers.reconciler.reconcile(AT_ONCE)).checked == 0


async def test_the_reconciler_starts_what_was_accepted_and_drops_what_was_refused(engine: Engine) -> None:
    template = await engine.run("t_echo", {})
    row = await engine.parts.backend.jobs.get(template.id)
    assert row is not None
    accepted = row.job.model_copy(update={"job_id": f"{template.id}a"})
    refused = row.job.model_copy(update={"job_id": f"{template.id}b"})
    for job in (accepted, refused):
        await engine.parts.backend.jobs.accept(job, request_hash="x", at=row.created_at)
    await engine.parts.backend.jobs.doubtful(refused.job_id)
    assert (await engine.job(accepted.job_id)).state is JobState.PENDING
    report = await engine.parts.workers.reconciler.reconcile(AT_ONCE)
    assert (report.started, report.dropped) == (1, 1)
    assert (await engine.ended(accepted.job_id)).state is JobState.COMPLETED
    with pytest.raises(NotFound):
        await engine.job(refused.job_id)


async def test_a_job_deleted_in_temporal_is_closed_as_such(engine: Engine) -> None:
    started = await engine.start("t_slow", {})
    await engine.eventually(started.job_id, lambda job: job.state is JobState.RUNNING)
    await forget(engine, started.job_id)
    assert (await engine.parts.workers.reconciler.reconcile(AT_ONCE)).closed == 1
    job = await engine.job(started.job_id)
    assert job.error is not None
    assert (job.state, job.error.type) == (JobState.CANCELLED, "deleted")


async def test_a_job_of_another_temporal_is_left_alone_and_said_to_be(engine: Engine) -> None:
    template = await engine.run("t_echo", {})
    row = await engine.parts.backend.jobs.get(template.id)
    assert row is not None
    foreign = row.job.model_copy(update={"job_id": f"{template.id}x"})
    await engine.parts.backend.jobs.accept(foreign, request_hash="x", at=row.created_at)
    await engine.parts.backend.jobs.started(foreign.job_id, "run", "the namespace of another server")
    assert (await engine.parts.workers.reconciler.reconcile(AT_ONCE)).closed <= 1
    job = await engine.job(foreign.job_id)
    assert not job.state.terminal
    assert job.reason is not None
    assert job.reason.code is ReasonCode.STUCK
    assert "does not know the job" in job.reason.message


async def test_one_key_is_one_job(engine: Engine) -> None:
    first = await engine.start("t_echo", {"n": 1}, idempotency_key="key")
    again = await engine.start("t_echo", {"n": 1}, idempotency_key="key")
    assert (first.job_id, first.replayed, again.replayed) == (again.job_id, False, True)
    with pytest.raises(IdempotencyReuse):
        await engine.start("t_echo", {"n": 2}, idempotency_key="key")
    for unusable in ("", " ", "x" * 256, "line\nbreak"):
        with pytest.raises(InvalidInput):
            await engine.start("t_echo", {}, idempotency_key=unusable)


async def test_nothing_starts_for_an_input_that_is_too_large(engine: Engine) -> None:
    with pytest.raises(PayloadTooLarge):
        await engine.start("t_echo", {"text": "x" * (4 * 1024 * 1024 + 1)})
    assert (await engine.services.reader.list(TESTER, JobFilter())).total == 0


async def test_nothing_starts_for_an_input_that_json_cannot_carry(engine: Engine) -> None:
    for unsound in ({"text": "\ud800"}, {"number": float("nan")}):
        with pytest.raises(InvalidInput):
            await engine.start("t_echo", unsound)
    assert (await engine.services.reader.list(TESTER, JobFilter())).total == 0


async def test_jobs_run_on_when_the_index_is_gone(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]
) -> None:
    async with running_engine(temporal_address, tmp_path, orchestrator_plugins) as engine:
        started = await engine.start("t_wide", {"seconds": 1})
        for file in tmp_path.glob("index.sqlite3*"):
            file.unlink()
        job = await engine.ended(started.job_id)
        assert (job.state, job.progress) == (JobState.COMPLETED, 100)


async def forget(engine: Engine, job_id: str) -> None:
    """Make Temporal forget a job, as its retention does."""
    client = engine.parts.backend.client
    request = DeleteWorkflowExecutionRequest(
        namespace=client.namespace, workflow_execution=WorkflowExecution(workflow_id=job_id)
    )
    await client.workflow_service.delete_workflow_execution(request)

    async def known() -> bool:
        try:
            await engine.parts.backend.gateway.read(job_id)
        except NotFound:
            return False
        return True

    await eventually(known, lambda there: not there)
