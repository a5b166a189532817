"""Signals sent past the API, and controls that race, on a real Temporal server."""

import asyncio
from pathlib import Path

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import PollWorkflowTaskQueueRequest, RespondWorkflowTaskFailedRequest
from temporalio.client import WorkflowHandle
from temporalio.common import RawValue

from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.errors import WrongState
from orchestrator.domain.jobs import Job, JobState, ReasonCode
from orchestrator.services.jobs import controls
from orchestrator.services.jobs.controls import Controlled
from orchestrator.testing import TESTER, Engine, eventually, running_engine


def raw(encoding: str, data: bytes) -> RawValue:
    return RawValue(Payload(metadata={"encoding": encoding.encode()}, data=data))


def handle_of(engine: Engine, job_id: str) -> WorkflowHandle:
    return engine.parts.backend.client.get_workflow_handle(job_id)


async def waiting(engine: Engine, target: str = "t_approval") -> str:
    started = await engine.start(target, {})
    await engine.eventually(started.job_id, lambda job: bool(job.waiting_steps))
    return started.job_id


async def names(engine: Engine, job_id: str) -> list[str]:
    return [event.name for event in await engine.services.reader.events(job_id)]


async def task_failures(engine: Engine, job_id: str) -> int:
    history = await engine.history(job_id)
    return sum(event.HasField("workflow_task_failed_event_attributes") for event in history.events)


UNREADABLE = [
    [raw("json/plain", b'{"step": "b"}'), raw("json/plain", b'{"step": "b"}')],
    [raw("binary/plain", b'{"step": "b"}')],
    [raw("binary/protobuf", b"\x00")],
    [raw("binary/encrypted", b"secret")],
    [raw("json/plain", b'{"step": "b", "note": "\\ud83d"}')],
    [raw("json/plain", b'["b"]')],
    [raw("json/protobuf", b'"b"')],
    [raw("binary/null", b"")],
]


async def test_signals_that_nobody_can_read_do_nothing_and_are_not_reported(engine: Engine) -> None:
    job_id = await waiting(engine)
    handle = handle_of(engine, job_id)
    for inputs in UNREADABLE:
        await handle.signal("approve", args=inputs)
    await handle.signal("pause", args=[raw("binary/plain", b"x")])
    await handle.signal("something_else", {"step": "b"})
    await engine.services.controller.pause(TESTER, job_id)
    await engine.services.controller.resume(TESTER, job_id)
    job = await engine.job(job_id)
    assert (job.state, job.waiting_steps, job.reason and job.reason.code) == (
        JobState.RUNNING,
        ["b"],
        ReasonCode.WAITING_FOR_APPROVAL,
    )
    approved = await engine.services.controller.approve(TESTER, job_id, "b")
    assert approved.done
    assert (await engine.ended(job_id)).state is JobState.COMPLETED
    report = [name for name in await names(engine, job_id) if not name.startswith("agent.")]
    assert report[2:] == [
        "step.waiting",
        "signal.something_else",
        "job.paused",
        "job.resumed",
        "step.approved",
        "job.completed",
    ]
    assert await task_failures(engine, job_id) == 0


async def test_controls_work_in_the_second_encoding_of_the_temporal_ui_too(engine: Engine) -> None:
    job_id = await waiting(engine)
    handle = handle_of(engine, job_id)
    await handle.signal("pause", args=[raw("json/protobuf", b"{}")])
    await handle.signal("approve", args=[raw("json/protobuf", b'{"step": "b"}')])
    job = await engine.eventually(job_id, lambda job: job.waiting_steps == [])
    assert job.state is JobState.PAUSED
    await asyncio.sleep(0.3)  # a step that ran on in spite of the pause would have begun
    assert [call.status for call in (await engine.job(job_id)).calls[1:]] == ["pending", "pending"]
    await engine.services.controller.resume(TESTER, job_id)
    assert (await engine.ended(job_id)).state is JobState.COMPLETED


async def test_of_decisions_at_the_same_moment_one_wins_and_the_others_leave_no_event(engine: Engine) -> None:
    for _ in range(5):
        job_id = await waiting(engine)
        controller = engine.services.controller
        answers = await asyncio.gather(
            controller.approve(TESTER, job_id, "b", "yes"),
            controller.reject(TESTER, job_id, "b", "no"),
            controller.approve(TESTER, job_id, "b", "me too"),
            return_exceptions=True,
        )
        winners = [number for number, answer in enumerate(answers) if isinstance(answer, Controlled)]
        assert len(winners) == 1, answers
        assert all(isinstance(answer, WrongState) for n, answer in enumerate(answers) if n not in winners)
        job = await engine.ended(job_id)
        assert job.state is (JobState.FAILED if winners == [1] else JobState.COMPLETED)
        events = [event for event in await engine.services.reader.events(job_id) if event.name.startswith("step.")]
        assert [event.name for event in events[1:]] == ["step.rejected" if winners == [1] else "step.approved"]
        assert events[1].data["note"] == ("yes", "no", "me too")[winners[0]]


async def test_a_decision_that_lost_in_history_is_refused_without_an_event(engine: Engine) -> None:
    """The race in slow motion: both passed the check, the other signal came first."""
    job_id = await waiting(engine)
    gateway = engine.parts.backend.gateway
    send = gateway.signal

    async def late(job_id: str, name: str, message: object) -> None:
        await handle_of(engine, job_id).signal("reject", {"step": "b", "note": "an operator was faster"})
        await send(job_id, name, message)  # type: ignore[arg-type]

    gateway.signal = late  # type: ignore[assignment,method-assign]
    with pytest.raises(WrongState, match=r"another decision came first|has ended"):
        await engine.services.controller.approve(TESTER, job_id, "b")
    job = await engine.ended(job_id)
    assert (job.state, job.error and job.error.message) == (JobState.FAILED, "an operator was faster")
    assert "step.approved" not in await names(engine, job_id)


async def test_a_pause_that_was_resumed_at_the_same_moment_is_not_called_done(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controls, "_LANDING_SECONDS", 30)  # However busy the machine is.
    job_id = await waiting(engine)
    gateway = engine.parts.backend.gateway
    send = gateway.signal

    async def early(job_id: str, name: str, message: object) -> None:
        await send(job_id, name, message)  # type: ignore[arg-type]
        await handle_of(engine, job_id).signal("resume")

    gateway.signal = early  # type: ignore[assignment,method-assign]
    with pytest.raises(WrongState, match="resumed at the same moment"):
        await engine.services.controller.pause(TESTER, job_id)


async def test_a_control_that_temporal_still_holds_back_is_requested_not_done(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a worker is at work on a workflow task, signals are not in the history yet."""
    monkeypatch.setattr(controls, "_LANDING_SECONDS", 0.5)
    queue = f"test-held-{tmp_path.name}"
    settings = {"task_queue": queue}
    async with running_engine(temporal_address, tmp_path, orchestrator_plugins, **settings) as staffed:
        job_id = await waiting(staffed)
    async with running_engine(temporal_address, tmp_path, orchestrator_plugins, worker=False, **settings) as alone:
        client = alone.parts.backend.client
        await handle_of(alone, job_id).signal("go")
        poll = PollWorkflowTaskQueueRequest(namespace=client.namespace, task_queue=TaskQueue(name=queue))
        task = await client.workflow_service.poll_workflow_task_queue(poll)  # as a worker that does not answer
        for control in (alone.services.controller.pause, alone.services.controller.approve):
            assert not (await control(TESTER, job_id, None if control.__name__ == "approve" else "")).done
        failed = RespondWorkflowTaskFailedRequest(namespace=client.namespace, task_token=task.task_token)
        await client.workflow_service.respond_workflow_task_failed(failed)
        job = await alone.job(job_id)
        assert (job.state, job.waiting_steps) == (JobState.PAUSED, [])


async def test_an_approval_in_time_for_the_worker_counts_though_its_timer_fired(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]
) -> None:
    queue = f"test-away-{tmp_path.name}"
    settings = {"task_queue": queue}
    async with running_engine(temporal_address, tmp_path, orchestrator_plugins, **settings) as staffed:
        job_id = await waiting(staffed, "t_approval_soon")
    async with running_engine(temporal_address, tmp_path, orchestrator_plugins, worker=False, **settings) as alone:

        async def job() -> Job:
            return await alone.job(job_id)

        await eventually(job, lambda job: not job.waiting_steps)  # the timer has fired, and no worker is there
        await handle_of(alone, job_id).signal("approve", {"step": "a"})
    async with running_engine(temporal_address, tmp_path, orchestrator_plugins, **settings) as staffed:
        ended = await staffed.ended(job_id)
        approved = "step.approved" in await names(staffed, job_id)
        assert (ended.state, approved) == (JobState.COMPLETED, True)
