"""Workflow code over `Flow`: typed results, identities, many calls, failures, and what the job shows of them."""

from typing import Any

import pytest
from temporalio.worker import Replayer

from orchestrator.domain.access import ORDINARY, Principal
from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.errors import Forbidden
from orchestrator.domain.jobs import CallStatus, Job, JobState, ReasonCode
from orchestrator.engine.plugin import OrchestratorPlugin
from orchestrator.plugins import BUILT_IN
from orchestrator.testing import TESTER, Engine
from tests.flow_workflows import FLOW_PLUGIN, FLOWS, INPUTS


@pytest.fixture(scope="session")
def orchestrator_plugins() -> list[Plugin]:
    return [BUILT_IN, FLOW_PLUGIN]


async def _replays(engine: Engine, job: Job) -> None:
    replayer = Replayer(workflows=list(FLOWS), plugins=[OrchestratorPlugin()])
    await replayer.replay_workflow(await engine.history(job.id))


def _inputs(job: Job) -> list[dict[str, Any]]:
    return [input for effect, input in INPUTS.items() if effect.startswith(f"{job.id}/")]


async def test_a_typed_result_decides_what_happens_next(engine: Engine) -> None:
    job = await engine.run("f_chain", {"number": 4})
    assert (job.state, job.error) == (JobState.COMPLETED, None)
    assert [(call.step, call.key, call.status) for call in job.calls] == [
        ("f_grader", "", CallStatus.COMPLETED),
        ("f_grader", "again", CallStatus.COMPLETED),
    ]
    assert _inputs(job) == [{"number": 4}, {"number": 5}]
    assert job.result is not None
    assert (job.result["output"], job.result["metadata"]["data"]) == ("grade 5", {"good": False, "score": 5})
    await _replays(engine, job)


async def test_two_calls_of_one_identity_raise_at_the_call(engine: Engine) -> None:
    job = await engine.run("f_twice", {"number": 4})
    assert (job.state, len(_inputs(job))) == (JobState.FAILED, 1)
    assert job.error is not None
    assert job.error.type == "duplicate_call"
    assert "step 'f_grader' already called 'f_grader': give each call a key of its own" in job.error.message


async def test_a_map_returns_the_results_in_the_order_of_its_items(engine: Engine) -> None:
    job = await engine.run("f_map", {"numbers": [5, 3, 8, 1, 9, 2]})
    assert job.result is not None, job.error
    assert job.result["output"] == "5 3 8 1 9 2"
    assert sorted(call.key for call in job.calls) == ["n1", "n2", "n3", "n5", "n8", "n9"]
    await _replays(engine, job)


async def test_a_map_goes_on_after_failures_if_it_may(engine: Engine) -> None:
    job = await engine.run("f_map", {"numbers": [1, 2, 3], "failing": [2], "on_error": "continue"})
    assert job.result is not None, job.error
    assert (job.result["output"], job.result["status"]) == ("1 3", "partial")
    [failure] = job.result["metadata"]["failed"]
    assert (failure["type"], failure["step"], failure["agent"]) == ("provider_rejected", "grades", "f_grader")
    assert failure["key"] == "n2"


async def test_enough_results_suffice_and_too_few_fail(engine: Engine) -> None:
    job = await engine.run("f_map", {"numbers": [1, 2, 3, 4], "failing": [2], "enough": 3})
    assert job.result is not None, job.error
    assert job.result["output"] == "1 3 4"
    job = await engine.run("f_map", {"numbers": [1, 2, 3, 4], "failing": [2, 3], "enough": 3})
    assert (job.state, job.error and job.error.type) == (JobState.FAILED, "provider_rejected")


async def test_two_items_with_one_key_fail_before_any_call(engine: Engine) -> None:
    job = await engine.run("f_map", {"numbers": [1, 1]})
    assert (job.error and job.error.type, _inputs(job)) == ("duplicate_key", [])


async def test_a_failed_call_names_its_step_and_agent(engine: Engine) -> None:
    job = await engine.run("f_fallback", {})
    assert job.error is not None
    assert (job.error.type, job.error.step, job.error.agent) == ("provider_rejected", "first", "f_grader")
    row = await engine.parts.backend.jobs.get(job.id)
    assert row is not None
    assert row.error is not None
    assert (row.error.type, row.error.step, row.error.agent) == ("provider_rejected", "first", "f_grader")


async def test_a_failed_call_can_be_caught(engine: Engine) -> None:
    job = await engine.run("f_fallback", {"catches": True})
    assert job.result is not None, job.error
    assert (job.result["output"], job.result["status"]) == ("grade 2", "partial")
    assert [(call.step, call.status) for call in job.calls] == [
        ("first", CallStatus.FAILED),
        ("f_grader", CallStatus.COMPLETED),
    ]


async def test_sixty_calls_of_50_kb_end(engine: Engine) -> None:
    job = await engine.run("f_bulk_map", {"calls": 60})
    assert (job.state, job.error, len(job.calls)) == (JobState.COMPLETED, None, 60)
    output = await engine.services.outputs.get(TESTER, job.id)
    assert output["output"] == "60 answers"
    assert sum(len(file["content"]) for file in output["deliverables"]) == 60 * 50 * 1024


async def test_the_digest_follows_the_calls(engine: Engine) -> None:
    job = await engine.run("f_bulk_map", {"calls": 2})
    assert job.result is not None
    reports = [file["path"] for file in job.result["deliverables"]]
    assert reports == ["reports/f_bulk/f_bulk-1.md", "reports/f_bulk/f_bulk-2.md"]


async def _answered(engine: Engine, job_id: str, street: str) -> None:
    await engine.eventually(job_id, lambda job: [question.id for question in job.open_questions] == ["address"])
    await engine.answer(job_id, "address", {"street": street})


async def test_people_answer_a_form_and_approve_as_in_a_plan(engine: Engine) -> None:
    started = await engine.start("f_people", {})
    await _answered(engine, started.job_id, "Elm 1")
    waiting = await engine.eventually(started.job_id, lambda job: job.waiting_steps == ["ship"])
    assert waiting.reason is not None
    assert (waiting.reason.code, waiting.reason.message) == (ReasonCode.WAITING_FOR_APPROVAL, "Ship it now?")
    assert (await engine.services.controller.approve(TESTER, started.job_id, None, "go")).done
    job = await engine.ended(started.job_id)
    assert job.result is not None, job.error
    assert (job.result["output"], job.result["metadata"]["note"]) == ("grade 5", "Elm 1")
    assert [call.step for call in job.calls] == ["f_grader"]
    await _replays(engine, job)


async def test_a_no_is_an_answer_and_no_answer_is_a_failure(engine: Engine) -> None:
    started = await engine.start("f_people", {})
    await _answered(engine, started.job_id, "Elm 1")
    await engine.eventually(started.job_id, lambda job: job.waiting_steps == ["ship"])
    await engine.services.controller.reject(TESTER, started.job_id, "ship", "not now")
    job = await engine.ended(started.job_id)
    assert job.result is not None
    assert job.result["metadata"]["note"] == "kept back"
    late = await engine.run("f_people", {"timeout": 1})
    assert (late.error and late.error.type, late.error and late.error.step) == ("answer_timeout", "address")


async def test_only_the_people_that_an_approval_names_decide(engine: Engine) -> None:
    started = await engine.start("f_people", {"by": ["key:desk"]})
    await _answered(engine, started.job_id, "Elm 1")
    await engine.eventually(started.job_id, lambda job: job.waiting_steps == ["ship"])
    owner = Principal(TESTER.id, ORDINARY)
    with pytest.raises(Forbidden, match="for key:desk"):
        await engine.services.controller.approve(owner, started.job_id, "ship")
    with pytest.raises(Forbidden, match="for key:desk"):
        await engine.services.questions.answer(owner, started.job_id, "ship", {"approved": True})
    desk = Principal("desk-owner", ORDINARY, key="key_1", key_name="desk")
    answered = await engine.services.questions.answer(desk, started.job_id, "ship", {"approved": True})
    assert answered.question.answer is not None
    assert answered.question.answer.actor == "desk-owner"
    assert (await engine.ended(started.job_id)).state is JobState.COMPLETED


@pytest.mark.parametrize("name", ["role:viewer", "desk", "key:"])
@pytest.mark.parametrize(("asker", "step"), [("ask_by", "address"), ("by", "ship")])
async def test_a_question_to_people_who_cannot_exist_fails_the_job_at_the_call(
    engine: Engine, asker: str, step: str, name: str
) -> None:
    started = await engine.start("f_people", {asker: [name]})
    if step == "ship":
        await _answered(engine, started.job_id, "Elm 1")
    job = await engine.ended(started.job_id)
    assert job.error is not None
    assert (job.error.type, job.error.step) == ("invalid_question", step)
    assert job.error.message.startswith(f"question '{step}': by: {name!r}")
    assert [question.id for question in job.questions if question.open] == []
    await _replays(engine, job)


async def test_a_paused_flow_starts_no_call_until_it_is_resumed(engine: Engine) -> None:
    started = await engine.start("f_people", {})
    await engine.eventually(started.job_id, lambda job: bool(job.open_questions))
    assert (await engine.services.controller.pause(TESTER, started.job_id)).job.state is JobState.PAUSED
    await _answered(engine, started.job_id, "Elm 1")
    await engine.eventually(started.job_id, lambda job: not job.open_questions)
    assert (await engine.job(started.job_id)).calls == []
    assert (await engine.services.controller.resume(TESTER, started.job_id)).done
    await engine.eventually(started.job_id, lambda job: job.waiting_steps == ["ship"])
    await engine.services.controller.cancel(TESTER, started.job_id, "enough")
    job = await engine.ended(started.job_id)
    assert (job.state, len(job.calls)) == (JobState.CANCELLED, 1)
    await _replays(engine, job)
