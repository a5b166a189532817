"""An input model counts whole: before anything starts, and for each call of a workflow."""

from typing import Any

import pytest

from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.jobs import JobState
from orchestrator.domain.plans import Plan, WorkflowDefinition
from orchestrator.services.jobs.reader import JobFilter
from orchestrator.testing import TESTER, Engine
from tests.catalogue import CALLS, TimedInput, step

WHEN = "2026-11-26T10:00:00Z"


@pytest.mark.parametrize("target", ["t_timed", "t_modelled"])
@pytest.mark.parametrize(
    ("data", "field", "said"),
    [
        ({"when": "not a date"}, "when", "expected a valid datetime"),
        ({"when": WHEN, "seats": 7}, "seats", "seats come in pairs"),
        ({"when": WHEN, "seats": 13}, "input", "The input model TimedInput failed on this input: KeyError: 13"),
        ({"seats": 8}, "when", "Missing required field: when"),
    ],
)
async def test_an_input_that_its_model_refuses_starts_nothing(
    engine: Engine, target: str, data: dict[str, Any], field: str, said: str
):
    before = (await engine.services.reader.list(TESTER, JobFilter())).total
    with pytest.raises(InvalidInput) as refused:
        await engine.start(target, data)
    assert refused.value.details["field"] == field
    assert said in refused.value.message
    assert (await engine.services.reader.list(TESTER, JobFilter())).total == before


async def test_a_function_gets_the_value_and_the_job_keeps_what_was_sent(engine: Engine):
    job = await engine.run("t_timed", {"when": WHEN})
    assert job.result
    assert job.result["output"].strip().endswith("2026 8")
    assert job.input == {"when": WHEN}


async def test_an_input_that_does_not_fit_a_later_step_fails_it_once_and_without_effect(engine: Engine):
    job = await engine.run("t_then_timed", {"when": "not a date"})
    assert job.state is JobState.FAILED
    assert job.error
    assert (job.error.type, job.error.step, job.error.agent) == ("invalid_input", "b", "t_timed")
    assert "Invalid value for field when" in job.error.message
    assert [len(call.attempts) for call in job.calls] == [1, 1]
    assert not [effect for effect in CALLS if effect.startswith(f"{job.id}/b/")]


async def test_a_later_step_gets_the_value_too(engine: Engine):
    job = await engine.run("t_then_timed", {"when": WHEN, "seats": 4})
    assert job.state is JobState.COMPLETED
    assert job.result
    assert "2026 4" in job.result["output"]


def test_a_workflow_publishes_the_schema_of_its_model():
    about: dict[str, Any] = {"id": "w_x", "name": "w", "description": "w", "plan": Plan(steps=(step("a", "t_echo"),))}
    definition = WorkflowDefinition(**about, input_model=TimedInput)
    assert definition.input_schema == TimedInput.model_json_schema()
    with pytest.raises(ValueError, match="give input_model or input_schema"):
        WorkflowDefinition(**about, input_model=TimedInput, input_schema={})
