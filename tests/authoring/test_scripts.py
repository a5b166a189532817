"""Scripted answers of a model: what authors test their branches and loops with."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import BaseModel, Field

from orchestrator.authoring import (
    Agent,
    AgentError,
    AgentOutput,
    Plan,
    Plugin,
    RetryPolicy,
    Step,
    Tool,
    ToolCall,
    WorkflowDefinition,
)
from orchestrator.domain.jobs import JobState
from orchestrator.testing import Engine, ModelRequest, assert_replays, calls, fails, hangs, running_engine, tool
from orchestrator.testing.scripts import Script, Scripts


class Text(BaseModel):
    """A text to review."""

    text: str = Field(min_length=1)


class Review(AgentOutput):
    """A review with a decision."""

    approved: bool
    score: int = Field(ge=0, le=10)


REVIEWER = Agent(
    id="s_reviewer",
    name="Reviewer",
    squad="qa",
    description="Reviews",
    capabilities=("review",),
    instructions="Review the text.",
    input_model=Text,
    output_model=Review,
)
EDITOR = REVIEWER.model_copy(update={"id": "s_editor", "output_model": AgentOutput})
SOON = RetryPolicy(initial_interval=0.01, maximum_attempts=2)
FLOW = WorkflowDefinition(
    id="s_flow",
    name="Flow",
    description="Reviews twice",
    plan=Plan(
        steps=(
            Step(id="first", name="First", squad="qa", agents=("s_reviewer", "s_editor")),
            Step(
                id="second",
                name="Second",
                squad="qa",
                agents=("s_reviewer",),
                needs=("first",),
                retry=SOON,
            ),
        )
    ),
)
PAID: list[str] = []


async def pay(number: str, amount: float, call: ToolCall) -> str:
    """Pay an amount back. The bank is busy at first."""
    PAID.append(call.effect_id)
    if len(PAID) == 1:
        raise AgentError("The bank is busy.", kind="bank_busy", retryable=True)
    return f"paid {amount} of {number}"


CASHIER = REVIEWER.model_copy(
    update={"id": "s_cashier", "output_model": AgentOutput, "tools": (Tool(pay, retry=SOON),)}
)
CASE = WorkflowDefinition(
    id="s_case", name="Case", description="Pays in a child job", plan=Plan(steps=(Step(id="pay", workflow="s_pay"),))
)
PAY = WorkflowDefinition(
    id="s_pay", name="Pay", description="Pays", plan=Plan(steps=(Step(id="cash", agents=("s_cashier",)),))
)
PLUGIN = Plugin("scripted", agents=(REVIEWER, EDITOR, CASHIER), workflows=(FLOW, CASE, PAY))
REJECT, APPROVE = {"approved": False, "score": 2}, {"approved": True, "score": 9}


@pytest_asyncio.fixture(loop_scope="session")
async def engine(temporal_address: str, tmp_path: Path) -> AsyncIterator[Engine]:
    """An engine with the plugin of this file."""
    async with running_engine(temporal_address, tmp_path, [PLUGIN]) as running:
        yield running


async def test_the_answers_of_a_script_come_in_order_and_count_as_those_of_a_model(engine: Engine) -> None:
    engine.script("s_reviewer", [REJECT, Review(approved=True, score=9, summary="Good.", output="Print it.")])

    job = await engine.run("s_flow", {"text": "Hello"})

    assert job.state is JobState.COMPLETED, job.error
    assert [call.usage.total_tokens for call in job.calls if call.agent == "s_reviewer"] == [120, 120]
    assert {call.model for call in job.calls if call.agent == "s_editor"} == {"offline/drafter"}
    assert job.result is not None
    assert "**s_reviewer**: Good." in job.result["output"]
    assert [request.call for request in engine.requests("s_reviewer")] == ["first.s_reviewer", "second.s_reviewer"]
    assert "Hello" in engine.requests("s_reviewer")[0].prompt
    await assert_replays([await engine.history(job.id)], [PLUGIN])


async def test_a_script_can_belong_to_one_call_and_be_a_function_of_the_request(engine: Engine) -> None:
    def review(request: ModelRequest) -> Review:
        return Review(approved=True, score=request.number, summary=f"of {request.call}", output="o")

    engine.script("second.s_reviewer", [fails(503), review])
    engine.script("s_reviewer", [REJECT])

    job = await engine.run("s_flow", {"text": "Hello"})

    assert job.state is JobState.COMPLETED, job.error
    assert job.calls[-1].attempts[-1].number == 2
    assert job.result is not None
    assert "of second.s_reviewer" in job.result["output"]


async def test_no_call_of_a_script_waits_for_an_import(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "orchestrator.runtime.openai_models", raising=False)
    engine.script("s_reviewer", [APPROVE], unused=True)
    assert "orchestrator.runtime.openai_models" in sys.modules


async def test_a_call_beyond_the_script_fails_at_once_and_says_so(engine: Engine) -> None:
    engine.script("s_reviewer", [APPROVE])

    job = await engine.run("s_flow", {"text": "Hello"})

    assert job.state is JobState.FAILED
    assert job.error is not None
    assert "the script of 's_reviewer' has 1 answer, this is request 2, of second.s_reviewer" in job.error.message


async def test_a_provider_that_hangs_is_cancelled_with_the_job(engine: Engine) -> None:
    engine.script("s_reviewer", [hangs()])
    started = await engine.start("s_flow", {"text": "Hello"})
    await engine.eventually(started.job_id, lambda _: bool(engine.requests("s_reviewer")))

    await engine.cancel(started.job_id)

    assert (await engine.ended(started.job_id)).state is JobState.CANCELLED


async def test_a_function_answers_every_request(engine: Engine) -> None:
    script = engine.script("s_reviewer", lambda request: {"approved": True, "score": request.number})
    jobs = [await engine.run("s_reviewer", {"text": "Hello"}) for _ in range(2)]
    assert [job.result and job.result["metadata"]["data"]["score"] for job in jobs] == [1, 2]
    assert len(script.requests) == 2


@pytest.mark.parametrize("entries", [APPROVE, calls(tool("find", number=1)), "yes"])
def test_a_script_that_is_no_list_is_refused_by_name(entries: object) -> None:
    with pytest.raises(TypeError, match="script of 's_reviewer': give a list of entries, or a function"):
        Scripts().add("s_reviewer", REVIEWER, entries, unused=False)  # type: ignore[arg-type]


async def test_a_wait_for_what_an_ended_job_never_does_says_why_it_ended(engine: Engine) -> None:
    engine.script("s_reviewer", [fails(400, message="no such thing")])
    started = await engine.start("s_reviewer", {"text": "Hello"})
    await engine.ended(started.job_id)
    with pytest.raises(AssertionError, match=rf"never became true; {started.job_id} is FAILED: \w+: .*no such thing"):
        await engine.eventually(started.job_id, lambda job: bool(job.open_questions), seconds=0.1)


def test_a_test_that_failed_is_not_failed_again_for_what_it_left() -> None:
    scripts = Scripts()
    scripts.add("s_reviewer", REVIEWER, [APPROVE], unused=False)
    scripts.leave_unchecked()
    scripts.check()


async def test_answers_left_over_fail_the_test_unless_it_allows_them(temporal_address: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="answers of scripts were not used: 2 of 's_reviewer'"):
        async with running_engine(temporal_address, tmp_path / "a", [PLUGIN], worker=False) as engine:
            engine.script("s_reviewer", [REJECT, APPROVE])
    async with running_engine(temporal_address, tmp_path / "b", [PLUGIN], worker=False) as engine:
        engine.script("s_reviewer", [REJECT, APPROVE], unused=True)


def test_an_answer_is_checked_when_the_script_is_made() -> None:
    with pytest.raises(ValueError, match="score"):
        Script("s_reviewer", REVIEWER, [{"approved": True, "score": 99}])
    with pytest.raises(TypeError, match="AgentOutput is not the output model of agent s_reviewer, Review"):
        Script("s_reviewer", REVIEWER, [AgentOutput(summary="s", output="o")])


async def test_the_calls_of_a_tool_are_those_of_every_job_and_child(engine: Engine) -> None:
    PAID.clear()
    engine.script(
        "s_cashier", [calls(tool("pay", number="7", amount=5.0)), {}, calls(tool("pay", number="8", amount=1.5)), {}]
    )

    for target in ("s_case", "s_cashier"):
        job = await engine.run(target, {"text": "Pay"})
        assert job.state is JobState.COMPLETED, job.error

    first, second = await engine.calls("pay")
    assert (first.arguments, first.attempts, first.result) == ('number: "7", amount: 5.0', 2, "paid 5.0 of 7")
    assert (second.arguments, second.attempts) == ('number: "8", amount: 1.5', 1)
    assert [first.effect_id, first.effect_id, second.effect_id] == PAID
    assert await engine.calls("refund") == []


async def test_a_history_that_does_not_replay_is_named(engine: Engine, tmp_path: Path) -> None:
    job = await engine.run("s_flow", {"text": "Hello"})
    history = await engine.history(job.id)
    folder = tmp_path / "histories"
    folder.mkdir()
    (folder / "reviewed.json").write_text(history.to_json())
    await assert_replays(folder, [PLUGIN])
    for event in history.events:
        if event.HasField("activity_task_scheduled_event_attributes"):
            event.activity_task_scheduled_event_attributes.activity_id = "renamed.s_reviewer"
    with pytest.raises(AssertionError, match=f"histories that do not replay:\\s+{job.id}: .*Nondeterminism"):
        await assert_replays([history], [PLUGIN])
    (folder / "reviewed.json").write_text(history.to_json())
    with pytest.raises(AssertionError, match=r"histories that do not replay:\s+reviewed\.json: .*Nondeterminism"):
        await assert_replays(folder, [PLUGIN])
    with pytest.raises(AssertionError, match="no history to replay"):
        await assert_replays([])
