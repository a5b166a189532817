"""Calls with keys and inputs of their own, in code; and what workflow code notes becomes facts of history."""

import pytest
from temporalio import workflow

from orchestrator.domain.catalogue import CodeWorkflow, Plugin
from orchestrator.domain.commands import JobInput, JobResult
from orchestrator.domain.facts import Noted
from orchestrator.domain.jobs import CallStatus, JobState
from orchestrator.projection.facts import fact_of
from orchestrator.testing import Engine
from tests import catalogue
from tests.catalogue import CALLS, step
from workflows.notes import note
from workflows.steps import call_agent

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain.notes import StepSkipped


@workflow.defn(name="t_keyed")
class KeyedWorkflow:
    """Calls one agent for each key, each with an input of its own, over `runs` runs."""

    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        note(StepSkipped(step="b", why="not today"))
        for key in job.input["keys"]:
            await call_agent(
                job, "a", job.input["agent"], key=key, input={"when": "2026-01-01", "seats": job.input.get("seats", 2)}
            )
        if job.input.get("runs", 1) > 1:
            workflow.continue_as_new(job.model_copy(update={"input": {**job.input, "runs": job.input["runs"] - 1}}))
        return JobResult(output="done")


@pytest.fixture(scope="module")
def orchestrator_plugins() -> list[Plugin]:
    entry = CodeWorkflow(catalogue.workflow("t_keyed", step("a", "t_timed"), code=True), KeyedWorkflow)
    return [catalogue.TEST_PLUGIN, Plugin("keyed", code_workflows=(entry,))]


async def test_each_key_is_a_call_with_its_own_input_effect_and_attempts(engine: Engine) -> None:
    job = await engine.run("t_keyed", {"keys": ["alpha", "a b"], "agent": "t_timed"})
    assert job.state is JobState.COMPLETED, job.error
    keyed = [call for call in job.calls if call.key]
    assert [(call.key, call.number, call.status) for call in keyed] == [
        ("alpha", 1, CallStatus.COMPLETED),
        ("a_b-c8687a08", 1, CallStatus.COMPLETED),
    ]
    assert {effect: count for effect, count in CALLS.items() if effect.startswith(f"{job.id}/")} == {
        f"{job.id}/a[{call.key}]/t_timed": 1 for call in keyed
    }
    assert [[attempt.number for attempt in call.attempts] for call in keyed] == [[1], [1]]
    events = await engine.services.reader.events(job.id)
    assert [event.data.get("key") for event in events if event.name == "agent.completed"] == ["alpha", "a_b-c8687a08"]


@pytest.mark.parametrize("input", [{"keys": ["one", "one"]}, {"keys": ["one"], "runs": 2}], ids=["at once", "later"])
async def test_a_second_call_with_one_key_fails_by_name(engine: Engine, input: dict[str, object]) -> None:
    job = await engine.run("t_keyed", {**input, "agent": "t_timed"})
    assert (job.state, job.error and job.error.type) == (JobState.FAILED, "duplicate_call")
    assert job.error is not None
    assert "a[one].t_timed" in job.error.message


async def test_the_agent_checks_the_input_of_a_call(engine: Engine) -> None:
    job = await engine.run("t_keyed", {"keys": ["one"], "agent": "t_timed", "seats": 3})
    assert job.state is JobState.FAILED
    assert [call.error and call.error.type for call in job.calls if call.key] == ["invalid_input"]


async def test_a_note_is_a_fact_of_the_history(engine: Engine) -> None:
    job = await engine.run("t_keyed", {"keys": [], "agent": "t_timed"})
    facts = [fact_of(event, job.run_id) for event in (await engine.history(job.id)).events]
    noted = [fact.notes for fact in facts if isinstance(fact, Noted)]
    assert noted == [(StepSkipped(step="b", why="not today"),)]
