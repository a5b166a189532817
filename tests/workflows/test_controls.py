"""Cancel, pause, resume, approve, reject, on a real Temporal server, with and without workers."""

from pathlib import Path

import pytest

from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.errors import WrongState
from orchestrator.domain.jobs import CallStatus, JobState, ReasonCode
from orchestrator.testing import TESTER, Engine, running_engine


async def test_cancel_reaches_a_running_call(engine: Engine) -> None:
    started = await engine.start("t_slow", {})
    await engine.eventually(started.job_id, lambda job: job.calls[0].status is CallStatus.RUNNING)
    cancelled = await engine.services.controller.cancel(TESTER, started.job_id, "changed my mind", patience=30)
    assert cancelled.done
    assert cancelled.job.state is JobState.CANCELLED
    assert cancelled.job.cancel_reason == "changed my mind"
    assert [call.status for call in cancelled.job.calls] == [CallStatus.CANCELLED, CallStatus.SKIPPED]


async def test_a_finished_job_cannot_be_controlled(engine: Engine) -> None:
    job = await engine.run("t_three", {})
    control = engine.services.controller
    for asked in (
        control.cancel(TESTER, job.id, ""),
        control.pause(TESTER, job.id),
        control.resume(TESTER, job.id),
        control.approve(TESTER, job.id, "a"),
    ):
        with pytest.raises(WrongState):
            await asked


async def test_a_paused_job_starts_nothing_new_until_it_is_resumed(engine: Engine) -> None:
    started = await engine.start("t_slow", {"seconds": 0.5})
    await engine.eventually(started.job_id, lambda job: job.calls[0].status is CallStatus.RUNNING)
    paused = await engine.services.controller.pause(TESTER, started.job_id, "wait")
    assert paused.done
    job = await engine.eventually(started.job_id, lambda job: job.calls[0].status is CallStatus.COMPLETED)
    assert (job.state, job.calls[1].status) == (JobState.PAUSED, CallStatus.PENDING)
    await engine.services.controller.resume(TESTER, started.job_id)
    assert (await engine.ended(started.job_id)).state is JobState.COMPLETED


async def test_an_approved_step_runs(engine: Engine) -> None:
    started = await engine.start("t_approval", {})
    job = await engine.eventually(started.job_id, lambda job: job.waiting_steps == ["b"])
    assert job.reason is not None
    assert (job.reason.code, job.reason.message) == (ReasonCode.WAITING_FOR_APPROVAL, "Go on?")
    with pytest.raises(WrongState, match="steps that do: b"):
        await engine.services.controller.approve(TESTER, started.job_id, "c")
    await engine.services.controller.approve(TESTER, started.job_id, None)
    assert (await engine.ended(started.job_id)).state is JobState.COMPLETED


async def test_an_operators_signals_do_not_break_the_job(engine: Engine) -> None:
    started = await engine.start("t_approval", {})
    await engine.eventually(started.job_id, lambda job: job.waiting_steps == ["b"])
    handle = engine.parts.backend.client.get_workflow_handle(started.job_id)
    await handle.signal("approve")
    await handle.signal("approve", "b")
    await handle.signal("pause")
    job = await engine.eventually(started.job_id, lambda job: job.state is JobState.PAUSED)
    assert job.waiting_steps == ["b"]
    await handle.signal("resume")
    await handle.signal("approve", {"step": "b"})
    assert (await engine.ended(started.job_id)).state is JobState.COMPLETED


async def test_a_rejected_step_fails_the_job_with_the_note(engine: Engine) -> None:
    started = await engine.start("t_approval", {})
    await engine.eventually(started.job_id, lambda job: job.waiting_steps == ["b"])
    await engine.services.controller.reject(TESTER, started.job_id, "b", "not good enough")
    job = await engine.ended(started.job_id)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert (job.error.type, job.error.message) == ("rejected", "not good enough")


async def test_an_approval_that_nobody_gives_runs_out(engine: Engine) -> None:
    job = await engine.run("t_approval_soon", {})
    assert job.error is not None
    assert job.error.type == "approval_timeout"


async def test_code_authored_workflows_take_a_signal_or_their_timer(engine: Engine) -> None:
    started = await engine.start("t_countdown", {"seconds": 60})
    await engine.eventually(started.job_id, lambda job: "a timer or a signal" in job.reason.message)
    await engine.parts.backend.client.get_workflow_handle(started.job_id).signal("go")
    job = await engine.ended(started.job_id)
    assert job.result is not None
    assert "after nothing" in job.result["output"]
    assert job.calls[0].status is CallStatus.COMPLETED
    timed = await engine.run("t_countdown", {"seconds": 0.1})
    assert timed.result is not None
    assert timed.result["output"] == "nobody said go"


async def test_workflow_code_that_throws_fails_the_job_with_the_error(engine: Engine) -> None:
    job = await engine.run("t_faulty", {})
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert (job.error.type, job.error.message) == ("workflow_error", "ValueError: an author's mistake")


async def test_without_any_worker_status_is_true_and_controls_are_kept(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]
) -> None:
    queue = f"test-alone-{tmp_path.name}"
    async with running_engine(
        temporal_address, tmp_path, orchestrator_plugins, worker=False, task_queue=queue
    ) as alone:
        started = await alone.start("t_three", {})
        cancelled = await alone.start("t_three", {})
        job = await alone.job(started.job_id)
        assert job.state is JobState.PENDING
        assert job.reason is not None
        assert job.reason.code is ReasonCode.NO_WORKER
        paused = await alone.services.controller.pause(TESTER, started.job_id)
        assert not paused.done
        row = await alone.parts.backend.jobs.get(started.job_id)
        assert row is not None
        assert row.state is JobState.PENDING
        await alone.services.controller.resume(TESTER, started.job_id)
        with pytest.raises(WrongState):
            await alone.services.controller.resume(TESTER, started.job_id)
        await alone.services.controller.pause(TESTER, started.job_id)
        asked = await alone.services.controller.cancel(TESTER, cancelled.job_id, "no need")
        assert not asked.done
        assert asked.job.reason is not None
        assert asked.job.reason.code is ReasonCode.CANCELLING
    async with running_engine(temporal_address, tmp_path, orchestrator_plugins, task_queue=queue) as staffed:
        assert (await staffed.ended(cancelled.job_id)).state is JobState.CANCELLED
        job = await staffed.eventually(started.job_id, lambda job: job.state is JobState.PAUSED)
        assert job.progress == 0
        await staffed.services.controller.resume(TESTER, started.job_id)
        assert (await staffed.ended(started.job_id)).state is JobState.COMPLETED


async def test_a_job_ended_by_force_is_reported_and_repaired(engine: Engine) -> None:
    started = await engine.start("t_slow", {})
    await engine.eventually(started.job_id, lambda job: job.state is JobState.RUNNING)
    await engine.parts.backend.client.get_workflow_handle(started.job_id).terminate(reason="operator said so")
    job = await engine.job(started.job_id)
    assert job.state is JobState.CANCELLED
    assert job.error is not None
    assert (job.error.type, job.error.message) == ("terminated", "operator said so")
    row = await engine.parts.backend.jobs.get(started.job_id)
    assert row is not None
    assert row.state is JobState.CANCELLED
