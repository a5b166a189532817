"""Agents with tools in the fold: edited arguments, the tool in the reason, the whole duration, unknown prices."""

from datetime import timedelta

import pytest

from orchestrator.domain import facts as f
from orchestrator.domain.call_ids import CallId
from orchestrator.domain.facts import Pending, PendingCall
from orchestrator.domain.jobs import JobError, ReasonCode
from orchestrator.domain.notes import QuestionAsked
from orchestrator.domain.questions import AnswerInput, tool_question
from orchestrator.domain.turns import AgentTurn, ToolRequest
from orchestrator.domain.usage import Usage
from orchestrator.domain.values import INLINE_BYTES
from orchestrator.projection.job import project
from tests.unit.histories import History, job_input, step

USE = ToolRequest(number=1, tool="pay", arguments={"amount": 50}, shown="amount: 50", ask_before=True)


def _asked_for_a_tool() -> History:
    history = History(job_input(step("a", "one"))).task()
    number = history.scheduled("a", "one")
    history.add(f.AgentStarted, scheduled_id=number, attempt=1, last_error=None)
    turn = AgentTurn(number=1, calls=[USE], max_turns=5)
    history.add(f.AgentCompleted, scheduled_id=number, usage=Usage(), model="m", summary="", turn=turn)
    return history


@pytest.mark.parametrize(
    ("values", "arguments"),
    [
        ({"approved": True}, "amount: 50"),
        ({"approved": True, "arguments": {"amount": 5, "number": "9"}}, 'amount: 5, number: "9"'),
        ({"approved": False, "arguments": {"amount": 5}}, "amount: 50"),
    ],
)
def test_the_record_of_a_tool_call_has_the_arguments_that_it_was_made_with(
    values: dict[str, object], arguments: str
) -> None:
    history = _asked_for_a_tool()
    id = str(CallId("a", "one", path="t1.1"))
    question = tool_question(id, "a", "one", "Pay?", arguments=USE.arguments, schema={"type": "object"})
    history.add(f.Noted, notes=(QuestionAsked(question=question),))
    history.add(f.AnswerGiven, answer=AnswerInput(step=id, values=values, actor="Ada"))
    (tool,) = project("wf_job_1", history.facts).calls[0].tool_calls
    assert (tool.arguments, tool.answered_by) == (arguments, "Ada")


@pytest.mark.parametrize("started", [True, False])
def test_a_tool_that_is_tried_again_is_named(started: bool) -> None:
    history = _asked_for_a_tool()
    history.add(f.AgentScheduled, step="a", agent="one", path="t1.1", title="pay")
    error = JobError(type="ValueError", message="no", retryable=True)
    call = PendingCall(step="a", agent="one", path="t1.1", started=started, attempt=2, last_error=error)
    job = project("wf_job_1", history.facts, Pending(calls=(call,), pollers=1))
    assert job.reason is not None
    assert (job.reason.code, job.reason.agent) == (ReasonCode.RETRYING, "one")
    assert job.reason.message.startswith("Attempt 2 of pay of one ")
    (tool,) = job.calls[0].tool_calls
    assert tool.attempts == (2 if started else 1), "an attempt that has not begun is none"


def test_the_duration_of_an_agent_with_tools_is_that_of_all_turns() -> None:
    history = _asked_for_a_tool()
    history.at += timedelta(seconds=60)
    number = history.add(f.AgentScheduled, step="a", agent="one", path="t2", title="A")
    history.add(f.AgentStarted, scheduled_id=number, attempt=1, last_error=None)
    history.add(f.AgentCompleted, scheduled_id=number, usage=Usage(), model="m", summary="")
    assert project("wf_job_1", history.facts).calls[0].duration == 64.0


def test_calls_of_one_agent_are_counted_in_the_reason() -> None:
    history = History(job_input(step("a", "one"), step("b", "two"), step("c", "one"))).task()
    calls = []
    for name, agent in (("a", "one"), ("b", "two"), ("c", "one")):
        history.scheduled(name, agent)
        calls.append(PendingCall(step=name, agent=agent, started=True, attempt=1))
    reason = project("wf_job_1", history.facts, Pending(calls=tuple(calls), pollers=1)).reason
    assert reason is not None
    assert reason.message == "Running: one (2 calls), two."


@pytest.mark.parametrize(
    ("costs", "total"),
    [
        ((None, 0.0), None),
        ((0.0, None), None),
        ((0.0, 0.0), 0.0),
        ((0.0, 0.5), 0.5),
        ((None, 0.5), 0.5),
        ((None,), None),
    ],
)
def test_a_free_part_and_one_of_unknown_price_are_of_unknown_price(
    costs: tuple[float | None, ...], total: float | None
) -> None:
    parts = [Usage(prompt_tokens=3, provider_cost=cost) for cost in costs]
    assert Usage.total(parts).provider_cost == total
    assert Usage.total([Usage(), *parts, Usage()]).provider_cost == total


def test_a_turn_of_hundreds_of_calls_fits_into_history() -> None:
    calls = [
        ToolRequest(number=number, tool="look_up_one_order", arguments={"number": "x" * 68}, shown="y" * 80)
        for number in range(1, 201)
    ]
    turn = AgentTurn(number=1, calls=calls, max_turns=20)
    text = turn.model_dump_json()
    assert AgentTurn.model_validate_json(text) == turn
    assert len(text) < INLINE_BYTES
