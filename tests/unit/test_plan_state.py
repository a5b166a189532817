"""What a run makes of what it is given: signals before its own first line, the plan of a newer version."""

import pytest

from orchestrator.domain.commands import Carried, Control, Decision, JobInput
from tests.unit.histories import job_input, step
from workflows.plan import PlanWorkflow

ME = Control(actor="me")


def restored(carried: Carried, *signals: str) -> PlanWorkflow:
    flow = PlanWorkflow()
    flow._plan = job_input(step("a"), step("b")).plan
    for signal in signals:
        getattr(flow, signal)(ME)
    flow._restore(carried)
    return flow


@pytest.mark.parametrize(
    ("carried", "signals", "paused"),
    [
        (True, (), True),
        (False, (), False),
        (True, ("resume",), False),
        (False, ("pause",), True),
        (True, ("resume", "pause"), True),
    ],
)
def test_the_last_word_on_pausing_wins(carried: bool, signals: tuple[str, ...], paused: bool) -> None:
    assert restored(Carried(paused=carried), *signals)._state.paused is paused


def test_early_decisions_join_the_carried_ones() -> None:
    flow = PlanWorkflow()
    flow._plan = job_input(step("a"), step("b")).plan
    flow.approve(Decision(step="b", actor="me"))
    flow._restore(Carried(approved=["a"]))
    assert flow._state.approved == ["a", "b"]


def test_a_plan_of_a_newer_version_is_taken_and_handed_on_whole() -> None:
    sent = job_input(step("a")).model_dump(mode="json")
    sent["plan"]["steps"][0]["newer"] = {"than": "this"}
    job = JobInput.model_validate(sent)
    assert job.plan.in_sequence().model_dump(mode="json") == sent["plan"]
