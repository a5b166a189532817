"""The attempts of a tool call are true however it ends: history, events and status say the same."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import BaseModel, ConfigDict

from orchestrator.authoring import Agent, AgentTool, Plan, Plugin, RetryPolicy, Step, Tool, ToolCall, WorkflowDefinition
from orchestrator.domain.events import JobEvent
from orchestrator.domain.jobs import Job, JobState, ToolStatus, ToolUseRecord
from orchestrator.domain.plans import Timeouts
from orchestrator.testing import TESTER, Engine, assert_replays, calls, eventually, fails, running_engine, tool

SOON = RetryPolicy(initial_interval=0.05, maximum_attempts=9)
LATE = RetryPolicy(initial_interval=0.05, backoff_coefficient=10_000, maximum_interval=600, maximum_attempts=9)
BEGUN: Counter[str] = Counter()


class Question(BaseModel):
    model_config = ConfigDict(extra="allow")

    text: str = ""


async def flaky(call: ToolCall) -> str:
    """Fail, whenever it is called."""
    BEGUN[call.effect_id] += 1
    raise RuntimeError(f"failure {call.attempt}")


async def hang(call: ToolCall) -> str:
    """Fail at first, then never end."""
    BEGUN[call.effect_id] += 1
    if call.attempt < 2:
        raise RuntimeError("not yet")
    await asyncio.Event().wait()
    return ""


async def fatal(call: ToolCall) -> str:
    """Fail for good, once the other call has failed twice."""
    await eventually(lambda: _begun(call.effect_id.replace("t1.2", "t1.1")), lambda begun: begun == 2)
    raise TypeError("a fault of the code")


async def _begun(effect_id: str) -> int:
    return BEGUN[effect_id]


def _agent(id: str, **more: Any) -> Agent:
    values: dict[str, Any] = {"name": id, "squad": "testing", "description": id, "capabilities": ("t",)}
    return Agent(id=id, input_model=Question, instructions=id, **values, **more)


def _flow(id: str, agent: str, **more: Any) -> WorkflowDefinition:
    return WorkflowDefinition(
        id=id, name=id, description=id, plan=Plan(steps=(Step(id="go", agents=(agent,), **more),))
    )


PLUGIN = Plugin(
    "attempts",
    agents=(
        _agent("a_plain", tools=(Tool(flaky, retry=LATE),)),
        _agent("a_gated", tools=(Tool(flaky, retry=LATE, ask_before=True),)),
        _agent("a_hanging", tools=(Tool(hang, retry=SOON),)),
        _agent("a_failing", tools=(Tool(flaky, retry=LATE), Tool(fatal, on_error="fail"))),
        _agent("a_inner"),
        _agent("a_boss", tools=(AgentTool("a_inner"),)),
    ),
    workflows=(
        *(_flow(name, name) for name in ("a_plain", "a_gated", "a_hanging", "a_failing")),
        _flow("a_brief", "a_plain", timeouts=Timeouts(schedule_to_close=62)),
        _flow("a_boss", "a_boss", retry=LATE),
    ),
)


@pytest_asyncio.fixture(loop_scope="session")
async def engine(temporal_address: str, tmp_path: Path) -> AsyncIterator[Engine]:
    async with running_engine(temporal_address, tmp_path, [PLUGIN]) as running:
        yield running


def _tools(job: Job) -> list[ToolUseRecord]:
    return [record for call in job.calls for record in call.tool_calls]


async def _events(engine: Engine, job_id: str, name: str) -> list[JobEvent]:
    return [event for event in await engine.services.follower.past(TESTER, job_id, None) if event.name == name]


async def _waiting(engine: Engine, target: str) -> Job:
    """A job with a tool call that has failed twice, and waits ten minutes for its third attempt."""
    engine.script(target, lambda _: calls(tool("flaky")))
    started = await engine.start(target, {})
    if target == "a_gated":
        await engine.eventually(started.job_id, lambda job: bool(job.open_questions))
        await engine.answer(started.job_id, "go.a_gated.t1.1", {"approved": True})
    return await engine.eventually(
        started.job_id,
        lambda job: [(each.status, each.attempts) for each in _tools(job)] == [(ToolStatus.RETRYING, 2)],
    )


@pytest.mark.parametrize("target", ["a_plain", "a_gated"])
async def test_a_call_that_is_cancelled_between_two_attempts_keeps_them(engine: Engine, target: str) -> None:
    job = await _waiting(engine, target)
    (record,) = _tools(job)
    assert record.error is not None
    assert record.error.message == "failure 2"

    await engine.cancel(job.id)
    job = await engine.ended(job.id)

    (record,) = _tools(job)
    assert (job.state, record.status, record.attempts) == (JobState.CANCELLED, ToolStatus.CANCELLED, 2)
    assert BEGUN[record.effect_id] == 2
    assert record.error is not None
    assert record.error.message == "failure 2"
    (event,) = await _events(engine, job.id, "agent.tool_call.cancelled")
    assert (event.data["attempt"], event.data["error"]["message"]) == (2, "failure 2")
    await assert_replays([await engine.history(job.id)], [PLUGIN])


async def test_a_job_that_is_terminated_between_two_attempts_keeps_them(engine: Engine) -> None:
    job = await _waiting(engine, "a_plain")
    await engine.parts.backend.client.get_workflow_handle(job.id).terminate("enough")
    job = await engine.ended(job.id)
    (record,) = _tools(job)
    assert (record.status, record.attempts) == (ToolStatus.CANCELLED, 2)
    assert record.error is not None
    assert record.error.message == "failure 2"


async def test_a_call_whose_time_ends_between_two_attempts_keeps_them(engine: Engine) -> None:
    engine.script("a_plain", [calls(tool("flaky")), {"output": "It did not work."}])
    job = await engine.run("a_brief", {})
    (record,) = _tools(job)
    assert (record.status, record.attempts) == (ToolStatus.FAILED, 2)
    (event,) = await _events(engine, job.id, "agent.tool_call.failed")
    assert event.data["attempt"] == 2


async def test_a_call_that_is_cancelled_in_its_second_attempt_has_two(engine: Engine) -> None:
    engine.script("a_hanging", lambda _: calls(tool("hang")))
    started = await engine.start("a_hanging", {})
    await engine.eventually(
        started.job_id, lambda job: [(each.status, each.attempts) for each in _tools(job)] == [(ToolStatus.RUNNING, 2)]
    )
    await engine.cancel(started.job_id)
    job = await engine.ended(started.job_id)
    (record,) = _tools(job)
    assert (record.status, record.attempts) == (ToolStatus.CANCELLED, 2)


async def test_a_call_that_ends_with_the_failure_of_another_one_keeps_its_attempts(engine: Engine) -> None:
    engine.script("a_failing", [calls(tool("flaky"), tool("fatal"))])
    job = await engine.run("a_failing", {})
    assert job.state is JobState.FAILED
    first, second = _tools(job)
    assert (first.status, first.attempts) == (ToolStatus.CANCELLED, 2)
    assert (second.status, second.attempts) == (ToolStatus.FAILED, 1)
    await assert_replays([await engine.history(job.id)], [PLUGIN])


async def test_an_agent_as_tool_that_is_cancelled_between_two_attempts_keeps_them(engine: Engine) -> None:
    engine.script("a_boss", [calls(tool("a_inner", text="?"))])
    engine.script("a_inner", [fails(503), fails(503)])
    started = await engine.start("a_boss", {})
    await engine.eventually(
        started.job_id,
        lambda job: [(each.status, each.attempts) for each in _tools(job)] == [(ToolStatus.RETRYING, 2)],
    )
    await engine.cancel(started.job_id)
    job = await engine.ended(started.job_id)
    (record,) = _tools(job)
    assert (record.status, record.attempts) == (ToolStatus.CANCELLED, 2)
    assert record.error is not None
