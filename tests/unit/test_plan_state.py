"""What a run makes of what it is given: signals before its own first line, the plan of a newer version."""

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue

from orchestrator.domain.call_ids import CallId, shortened_key
from orchestrator.domain.commands import AgentResult, Carried, JobInput
from tests.unit.histories import job_input, step
from workflows.plan import PlanWorkflow


def signalled(flow: PlanWorkflow, name: str, body: bytes = b"{}") -> None:
    flow.control(name, [RawValue(Payload(metadata={"encoding": b"json/plain"}, data=body))])


def restored(carried: Carried, *signals: str) -> PlanWorkflow:
    flow = PlanWorkflow()
    for signal in signals:
        signalled(flow, signal)
    flow._state.restore(carried)
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
    signalled(flow, "approve", b'{"step": "b"}')
    flow._state.restore(Carried(approved=["a"]))
    assert flow._state.approved == ["a", "b"]


def test_a_decision_of_an_earlier_run_stays_in_force() -> None:
    flow = PlanWorkflow()
    signalled(flow, "reject", b'{"step": "a"}')
    signalled(flow, "approve", b'{"step": "b"}')
    flow._state.restore(Carried(approved=["a"], rejected={"b": "no"}))
    assert (flow._state.approved, flow._state.rejected) == (["a"], {"b": "no"})


def test_the_answer_of_a_child_is_its_own_under_the_key_of_an_earlier_release_too() -> None:
    flow = PlanWorkflow()
    earlier = AgentResult(step="leaf", agent="t_short", key=shortened_key("1/x"), summary="", output="done", model="m")
    flow._state.restore(Carried(results=[earlier]))
    assert earlier.key != "1/x"
    answer = flow._state.child_answer(CallId("leaf", "t_short", key="1/x"))
    assert answer == earlier.model_copy(update={"key": "1/x"})
    assert flow._state.results == [answer]
    assert flow._state.child_answer(CallId("leaf", "t_short", key="2/x")) is None


def test_a_plan_of_a_newer_version_is_taken_and_handed_on_whole() -> None:
    sent = job_input(step("a")).model_dump(mode="json")
    sent["plan"]["steps"][0]["newer"] = {"than": "this"}
    job = JobInput.model_validate(sent)
    assert job.plan.in_sequence().model_dump(mode="json") == sent["plan"]
