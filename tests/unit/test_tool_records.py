"""Agents with tools in the fold: edited arguments, the tool in the reason, the whole duration, unknown prices."""

from dataclasses import replace
from datetime import timedelta

import pytest

from orchestrator.domain import facts as f
from orchestrator.domain.call_ids import CallId, place_of
from orchestrator.domain.facts import Pending, PendingCall
from orchestrator.domain.jobs import Attempt, AttemptStatus, JobError, ReasonCode, ToolStatus, ToolUseRecord
from orchestrator.domain.notes import QuestionAsked
from orchestrator.domain.questions import AnswerInput, tool_question
from orchestrator.domain.tally import Tally
from orchestrator.domain.turns import AgentTurn, ToolAttempts, ToolRequest, ToolResult
from orchestrator.domain.usage import Usage
from orchestrator.domain.values import INLINE_BYTES
from orchestrator.projection.attempts import with_attempts
from orchestrator.projection.events import job_events
from orchestrator.projection.job import project
from orchestrator.projection.tool_calls import open_at_end
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


FAILURE = JobError(type="ValueError", message="no", retryable=True)


def _called() -> tuple[History, int]:
    """A job with an open tool call, and the number of its event."""
    history = _asked_for_a_tool()
    return history, history.add(f.AgentScheduled, step="a", agent="one", path="t1.1", title="pay")


def _counted(history: History, attempts: int, *, waited: int = 0, error: JobError | None = None) -> None:
    counted = ToolAttempts(id="a.one.t1.1", attempts=attempts, waited=waited, error=error)
    history.add(f.AttemptsCounted, calls=(counted, counted.model_copy(update={"id": "b.two.t1.1"})))


def _record(history: History, *pending: PendingCall) -> ToolUseRecord:
    (tool,) = project("wf_job_1", history.facts, Pending(calls=pending)).calls[0].tool_calls
    return tool


def test_a_tool_that_waits_says_why_its_last_attempt_failed() -> None:
    history, _ = _called()
    waiting = PendingCall(step="a", agent="one", path="t1.1", started=False, attempt=3, last_error=FAILURE)
    tool = _record(history, waiting)
    assert (tool.status, tool.attempts, tool.error) == (ToolStatus.RETRYING, 2, FAILURE)
    assert _record(history, replace(waiting, started=True)).error is None


def test_a_call_that_is_cancelled_between_two_attempts_has_those_that_were_counted() -> None:
    history, number = _called()
    _counted(history, 2, waited=1, error=FAILURE)
    history.add(f.AgentCancelled, scheduled_id=number)
    tool = _record(history)
    assert (tool.status, tool.attempts, tool.error) == (ToolStatus.CANCELLED, 2, FAILURE)
    data = job_events("wf_job_1", history.facts)[-1].data
    assert (data["attempt"], data["error"]) == (2, FAILURE.model_dump(mode="json"))


def test_a_call_that_never_began_has_no_attempt() -> None:
    history, number = _called()
    history.add(f.AttemptsCounted, calls=())
    history.add(f.AgentCancelled, scheduled_id=number)
    assert (_record(history).attempts, _record(history).error) == (0, None)
    data = job_events("wf_job_1", history.facts)[-1].data
    assert (data["attempt"], data["error"]) == (0, None)


@pytest.mark.parametrize("attempts", [1, 2])
def test_an_attempt_that_is_cancelled_is_not_a_try_that_waited_for_a_worker(attempts: int) -> None:
    """The count comes before the cancel: an attempt may begin in between."""
    history, number = _called()
    _counted(history, attempts, waited=3)
    history.add(f.AgentStarted, scheduled_id=number, attempt=5, last_error=FAILURE)
    history.add(f.AgentCancelled, scheduled_id=number)
    assert _record(history).attempts == 2


def test_a_call_that_completes_although_it_was_to_be_cancelled_has_no_error() -> None:
    history, number = _called()
    _counted(history, 1, error=FAILURE)
    history.add(f.AgentStarted, scheduled_id=number, attempt=2, last_error=FAILURE)
    result = ToolResult(tool="pay", attempt=2)
    history.add(f.AgentCompleted, scheduled_id=number, usage=Usage(), model=None, summary="", tool=result, attempt=2)
    tool = _record(history)
    assert (tool.status, tool.attempts, tool.error) == (ToolStatus.COMPLETED, 2, None)


@pytest.mark.parametrize(("tally", "attempts"), [((0, 0), 2), ((1, 1), 2), ((1, 0), 1)])
def test_the_attempt_that_a_time_limit_ends_counts(tally: tuple[int, int], attempts: int) -> None:
    """The last heartbeat counts only earlier tries, perhaps not all of them, and knows which of them waited."""
    history, number = _called()
    history.add(f.AgentStarted, scheduled_id=number, attempt=2, last_error=None)
    ended = Tally(tries=tally[0], attempts=tally[1])
    history.add(f.AgentFailed, scheduled_id=number, error=FAILURE, tally=ended, timed_out=True)
    assert _record(history).attempts == attempts


@pytest.mark.parametrize(("started", "attempts"), [(False, 2), (True, 3)])
def test_a_call_that_is_open_at_the_end_of_its_job_has_the_attempts_that_temporal_describes(
    started: bool, attempts: int
) -> None:
    history, number = _called()
    assert not open_at_end(history.facts)
    history.add(f.RunTerminated, reason="enough", identity="me")
    assert open_at_end(history.facts)
    pending = PendingCall(step="a", agent="one", path="t1.1", started=started, attempt=3, last_error=FAILURE)
    tool = _record(history, pending)
    assert (tool.status, tool.attempts) == (ToolStatus.CANCELLED, attempts)
    history.facts.insert(-1, f.AgentCancelled(event_id=99, run_id="run-1", time=history.at, scheduled_id=number))
    assert not open_at_end(history.facts)


def test_an_agent_as_tool_has_the_attempts_of_its_own_call_also_those_that_history_lacks() -> None:
    history = History(job_input(step("a", "one"))).task()
    number = history.scheduled("a", "one")
    use = ToolRequest(number=1, tool="two", kind="agent", target="two")
    turn = AgentTurn(number=1, calls=[use], max_turns=5)
    history.add(f.AgentCompleted, scheduled_id=number, usage=Usage(), model="m", summary="", turn=turn)
    key = CallId("a", "one", path="t1.1").inner_key
    inner = history.add(f.AgentScheduled, step="a", agent="two", key=key, title="two")
    history.add(f.AgentCancelled, scheduled_id=inner)
    failed = Attempt(number=1, status=AttemptStatus.FAILED, error=FAILURE)
    job = with_attempts(project("wf_job_1", history.facts), [(place_of("a", key), "two", 1, failed, "run-1")])
    (tool,) = job.calls[0].tool_calls
    assert (tool.status, tool.attempts, tool.error) == (ToolStatus.CANCELLED, 1, FAILURE)
