"""Questions of workflows to people, on a real Temporal server, answered past the API by the Update `answer`."""

from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.jobs import JobState, ReasonCode
from orchestrator.domain.questions import QuestionStatus
from orchestrator.testing import TESTER, Engine, eventually, running_engine

STREET = {"street": "Long Street 5"}


def handle_of(engine: Engine, job_id: str) -> WorkflowHandle[Any, Any]:
    return engine.parts.backend.client.get_workflow_handle(job_id)


async def answer(engine: Engine, job_id: str, step: str, values: dict[str, Any], **more: Any) -> Any:
    """The result of the Update, sent as `temporal workflow update execute` sends it."""
    return await handle_of(engine, job_id).execute_update("answer", {"step": step, "values": values, **more})


async def refused(engine: Engine, job_id: str, step: str, values: dict[str, Any], **more: Any) -> ApplicationError:
    with pytest.raises(WorkflowUpdateFailedError) as failure:
        await answer(engine, job_id, step, values, **more)
    assert isinstance(failure.value.cause, ApplicationError)
    return failure.value.cause


async def begun(engine: Engine, input: dict[str, Any]) -> str:
    """A job that waits for the address."""
    started = await engine.start("t_form", input)
    await engine.eventually(started.job_id, lambda job: bool(job.open_questions))
    return started.job_id


async def test_a_job_that_waits_for_a_person_says_for_what_and_then_who_answered(engine: Engine) -> None:
    job_id = await begun(engine, {"approval": True})
    waiting = await engine.job(job_id)
    assert waiting.reason is not None
    assert (waiting.reason.code, waiting.reason.message) == (ReasonCode.WAITING_FOR_INPUT, "Where does it go?")
    assert (waiting.reason.step, waiting.reason.question) == ("address", "address")
    assert waiting.reason.form is not None
    assert waiting.reason.form["required"] == ["street"]
    assert waiting.reason.deadline is not None
    assert waiting.waiting_steps == []
    await answer(engine, job_id, "address", STREET, actor="ann", note="at the back")
    await answer(engine, job_id, "address", STREET, actor="bob")  # accepted again, and nothing new
    job = await engine.eventually(job_id, lambda job: job.waiting_steps == ["ship"])
    assert job.reason.code is ReasonCode.WAITING_FOR_APPROVAL
    assert job.questions[1].details == {"street": "Long Street 5", "floor": 0, "express": False}
    await answer(engine, job_id, "ship", {"approved": False}, actor="bob", note="not today")
    ended = await engine.ended(job_id)
    first, second = [question.answer for question in ended.questions]
    assert first is not None
    assert second is not None
    assert (first.actor, first.note, first.values) == ("ann", "at the back", {**STREET, "floor": 0, "express": False})
    assert (second.actor, second.approved) == ("bob", False)
    events = [event for event in await engine.services.reader.events(job_id) if event.name.startswith("question.")]
    assert [(event.name, event.data["step"], event.data.get("actor")) for event in events] == [
        ("question.asked", "address", None),
        ("question.answered", "address", "ann"),
        ("question.asked", "ship", None),
        ("question.answered", "ship", "bob"),
    ]


async def test_a_cancelled_job_waits_for_nobody(engine: Engine) -> None:
    job_id = await begun(engine, {})
    await engine.services.controller.cancel(TESTER, job_id, "enough")
    job = await engine.ended(job_id)
    assert [question.status for question in job.questions] == [QuestionStatus.WITHDRAWN]
    names = [event.name for event in await engine.services.reader.events(job_id)]
    assert names[-2:] == ["question.withdrawn", "job.cancelled"]


async def test_an_answer_reaches_the_workflow_as_its_model(engine: Engine) -> None:
    job_id = await begun(engine, {})
    result = await answer(engine, job_id, "address", STREET, actor="ann", note="at the back")
    assert (result["actor"], result["values"]["floor"], result["how"]) == ("ann", 0, "answered")
    job = await engine.ended(job_id)
    assert job.result is not None
    assert job.result["output"] == "Long Street 5, floor 0"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({}, "street"),
        ({"street": 5}, "street"),
        ({"street": "Long Street"}, "street"),
        ({**STREET, "floor": "top"}, "floor"),
    ],
)
async def test_a_wrong_form_is_refused_by_name_and_leaves_nothing_in_history(
    engine: Engine, values: dict[str, Any], field: str
) -> None:
    job_id = await begun(engine, {})
    before = len((await engine.history(job_id)).events)
    fault = await refused(engine, job_id, "address", values)
    assert fault.type == "invalid_answer"
    assert fault.details[0]["field"] == field
    assert field in fault.message
    events = (await engine.history(job_id)).events
    assert not any(e.HasField("workflow_execution_update_accepted_event_attributes") for e in events[before:])
    await answer(engine, job_id, "address", STREET)
    assert (await engine.ended(job_id)).state is JobState.COMPLETED


async def test_unknown_fields_and_questions_are_refused(engine: Engine) -> None:
    job_id = await begun(engine, {})
    with pytest.raises(WorkflowUpdateFailedError):
        await answer(engine, job_id, "address", STREET, value=1)
    assert (await refused(engine, job_id, "adress", STREET)).message.endswith("open questions: address")
    assert (await refused(engine, job_id, "address", {"street": "Long Street 5" * 4000})).type == "invalid_answer"


async def test_the_same_answer_again_is_the_first_and_another_is_refused(engine: Engine) -> None:
    job_id = await begun(engine, {"approval": True})
    first = await answer(engine, job_id, "address", STREET, actor="ann")
    again = await answer(engine, job_id, "address", STREET, actor="bob")
    assert again == first
    fault = await refused(engine, job_id, "address", {"street": "Short Street 1"})
    assert (fault.type, "ann" in fault.message) == ("already_answered", True)
    await answer(engine, job_id, "ship", {"approved": True}, actor="bob", note="go")
    job = await engine.ended(job_id)
    assert job.result is not None
    assert job.result["output"] == "Long Street 5, floor 0, yes of bob (go)"


async def test_an_approval_is_answered_by_its_signal_too(engine: Engine) -> None:
    job_id = await begun(engine, {"approval": True})
    # Before the question is asked: it counts, as for a declared step.
    await handle_of(engine, job_id).signal("reject", {"step": "ship", "actor": "bob", "note": "no"})
    await answer(engine, job_id, "address", STREET)
    job = await engine.ended(job_id)
    assert job.result is not None
    assert job.result["output"].endswith("no of bob (no)")


async def test_a_question_that_nobody_answers_ends_as_it_says(engine: Engine) -> None:
    failed = await engine.run("t_form", {"timeout": 0.1})
    assert failed.error is not None
    assert (failed.error.type, failed.error.message) == (
        "answer_timeout",
        "nobody answered in time: Where does it go?",
    )
    skipped = await engine.run("t_form", {"timeout": 0.1, "on_timeout": "skip"})
    assert skipped.result is not None
    assert skipped.result["output"] == "skipped"


@pytest.mark.parametrize("first", [True, False])
async def test_a_question_stays_open_while_the_job_continues_as_new(engine: Engine, first: bool) -> None:
    job_id = await begun(engine, {"runs": 2})
    handle = handle_of(engine, job_id)
    if first:
        await answer(engine, job_id, "address", STREET, actor="ann")
    first_run = (await handle.describe()).run_id
    await handle.signal("next")
    await eventually(handle.describe, lambda run: run.run_id != first_run)
    await eventually(lambda: engine.history(job_id), lambda history: len(history.events) > 3)  # the run has begun
    if not first:
        await answer(engine, job_id, "address", STREET, actor="ann")
    job = await engine.ended(job_id)
    assert job.result is not None
    assert job.result["output"] == "Long Street 5, floor 0"


async def test_an_answer_that_arrives_with_the_deadline_counts(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]
) -> None:
    """While no worker runs, the deadline passes and a decision arrives: the next worker gets both in one task."""
    queue = f"test-deadline-{tmp_path.name}"
    async with running_engine(
        temporal_address, tmp_path, orchestrator_plugins, worker=False, task_queue=queue
    ) as alone:
        started = await alone.start("t_form", {"approval": True, "patience": 1.0})
        async with alone.parts.workers.for_jobs():
            await alone.eventually(started.job_id, lambda job: bool(job.open_questions))
            await answer(alone, started.job_id, "address", STREET)
        await eventually(
            lambda: alone.history(started.job_id),
            lambda history: any(event.HasField("timer_fired_event_attributes") for event in history.events),
        )
        await handle_of(alone, started.job_id).signal("approve", {"step": "ship", "actor": "ann"})
        async with alone.parts.workers.for_jobs():
            job = await alone.ended(started.job_id)
    assert job.result is not None
    assert "yes of ann" in job.result["output"]
