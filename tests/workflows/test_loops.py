"""The loop of an agent with tools: the next model, the cost of one call, a pause between two turns; and timed steps."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import BaseModel, ConfigDict, SecretStr
from temporalio.api.enums.v1 import EventType

from orchestrator.authoring import (
    Agent,
    AgentTool,
    Plan,
    Plugin,
    RetryPolicy,
    Step,
    WorkflowDefinition,
    cel,
)
from orchestrator.domain.jobs import AttemptStatus, CallStatus, JobState, ToolStatus
from orchestrator.domain.plans import FallbackModel
from orchestrator.testing import TESTER, Engine, assert_replays, calls, eventually, running_engine, tool
from tests.fakes.openai_server import Answer, Failure, OpenAIServer
from tests.flow_workflows import FLOW_PLUGIN

TWICE = RetryPolicy(initial_interval=0.05, maximum_attempts=2)
TURN = Answer({"number": 7})
DONE = Answer(json.dumps({"summary": "s", "output": "Done."}), as_text=True)
DOWN = Failure(503)
OPEN: dict[str, asyncio.Event] = {}


class Question(BaseModel):
    model_config = ConfigDict(extra="allow")

    text: str = ""


async def look_up(number: int) -> str:
    """Look a number up."""
    return f"number {number}"


async def wait(gate: str) -> str:
    """Wait until the gate is open."""
    await OPEN[gate].wait()
    return "it is open"


def _agent(id: str, **more: Any) -> Agent:
    values: dict[str, Any] = {"name": id, "squad": "testing", "description": id, "capabilities": ("t",)}
    return Agent(id=id, input_model=Question, instructions=id, **values, **more)


def _plan(id: str, *steps: Step) -> WorkflowDefinition:
    return WorkflowDefinition(id=id, name=id, description=id, plan=Plan(steps=steps))


PLUGIN = Plugin(
    "loops",
    agents=(
        _agent("l_stubborn", tools=(look_up,), model="first", fallback_models=("second", "third")),
        _agent("l_plain", model="first", fallback_models=("second",)),
        _agent("l_alone", model="first"),
        _agent("l_thrifty", tools=(look_up,), max_cost=0.002),
        _agent("l_boss", tools=(AgentTool("l_alone"),), max_cost=0.002),
        _agent("l_waiter", tools=(wait,)),
    ),
    workflows=(
        _plan("l_turns", Step(id="go", agents=("l_stubborn",), retry=TWICE)),
        _plan("l_once", Step(id="go", agents=("l_plain",), retry=TWICE)),
        _plan("l_declared", Step(id="go", agents=("l_alone",), fallback=(FallbackModel(model="other"),), retry=TWICE)),
        _plan("l_cost", Step(id="go", agents=("l_thrifty",))),
        _plan("l_cost_of_others", Step(id="go", agents=("l_boss",))),
        _plan("l_wait", Step(id="go", agents=("l_waiter",)), Step(id="then", agents=("l_alone",), needs=("go",))),
        _plan(
            "l_timed",
            Step(id="past", agents=("l_alone",), until_time=datetime(2020, 1, 1, tzinfo=UTC)),
            Step(id="due", agents=("l_alone",), needs=("past",), until_time=cel("input.at")),
        ),
    ),
)


PLUGINS = [FLOW_PLUGIN, PLUGIN]


@pytest_asyncio.fixture(loop_scope="session")
async def engine(temporal_address: str, tmp_path: Path) -> AsyncIterator[Engine]:
    async with running_engine(temporal_address, tmp_path, PLUGINS) as running:
        yield running


@pytest.mark.parametrize(
    ("target", "replies", "models"),
    [
        ("l_once", [DOWN, DOWN, DONE], "first first second"),
        ("l_declared", [DOWN, DOWN, DONE], "first first other"),
        ("l_turns", [TURN, DONE], "first first"),
        ("l_turns", [DOWN, DOWN, TURN, TURN, DONE], "first first second second second"),
        (
            "l_turns",
            [TURN, DOWN, DOWN, TURN, DOWN, DOWN, TURN, DONE],
            "first first first second second second third third",
        ),
        ("l_turns", [DOWN] * 6, "first first second second third third"),
    ],
)
async def test_the_next_model_is_asked_once_the_attempts_are_used_up_and_stays(
    temporal_address: str, tmp_path: Path, target: str, replies: list[Answer | Failure], models: str
) -> None:
    async with (
        OpenAIServer(*replies, Failure(400)) as server,
        running_engine(
            temporal_address, tmp_path, PLUGINS, llm_base_url=server.url, llm_api_key=SecretStr("key")
        ) as engine,
    ):
        job = await engine.run(target, {})
        assert [request.body["model"] for request in server.received] == models.split()
        answered = sum(isinstance(reply, Answer) for reply in replies)
        assert job.state is (JobState.COMPLETED if answered else JobState.FAILED), job.error
        assert job.usage.total_tokens == answered * (DONE.prompt_tokens + DONE.completion_tokens)
        attempts = [attempt.status for call in job.calls for attempt in call.attempts]
        assert attempts.count(AttemptStatus.FAILED) == replies.count(DOWN)
        assert len(attempts) == len(replies)
        await assert_replays([await engine.history(job.id)], PLUGINS)


@pytest.mark.parametrize(("target", "turns"), [("l_cost", 2), ("l_cost_of_others", 1)])
async def test_once_a_call_has_cost_enough_it_must_answer(engine: Engine, target: str, turns: int) -> None:
    agent = {"l_cost": "l_thrifty", "l_cost_of_others": "l_boss"}[target]
    use = tool("look_up", number=7) if target == "l_cost" else tool("l_alone", text="?")
    script = engine.script(agent, [*[calls(use)] * turns, {"output": "So far."}])
    if target == "l_cost_of_others":
        engine.script("l_alone", [{"output": "Help."}])

    job = await engine.run(target, {})

    assert job.result is not None, job.error
    assert [request.tools == ["answer"] for request in script.requests] == [False] * turns + [True]
    assert job.usage.total_tokens == 3 * 120  # Two requests are dearer than the agent's limit, of whichever agent.
    assert job.result["metadata"]["truncated"]
    await assert_replays([await engine.history(job.id)], PLUGINS)


@pytest.mark.parametrize("target", ["l_wait", "f_one"])
async def test_a_paused_loop_stops_before_its_next_turn_and_goes_on(engine: Engine, target: str) -> None:
    OPEN[target] = asyncio.Event()
    script = engine.script("l_waiter", [calls(tool("wait", gate=target)), {"output": "Done."}])
    started = await engine.start(target, {"agent": "l_waiter"})
    await engine.eventually(
        started.job_id, lambda job: bool(job.calls and job.calls[0].tool_calls) and job.calls_running == 1
    )
    await engine.services.controller.pause(TESTER, started.job_id)
    OPEN[target].set()

    job = await engine.eventually(started.job_id, lambda job: job.calls[0].tool_calls[0].status is ToolStatus.COMPLETED)
    await eventually(
        lambda: engine.history(job.id),
        lambda history: history.events[-1].event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
    )
    assert (await engine.job(job.id)).state is JobState.PAUSED
    assert len(script.requests) == 1

    await engine.services.controller.resume(TESTER, job.id)
    job = await engine.ended(job.id)
    assert (job.state, job.calls[0].turns, len(script.requests)) == (JobState.COMPLETED, 2, 2), job.error
    await assert_replays([await engine.history(job.id)], PLUGINS)


async def test_a_loop_that_is_paused_between_turns_can_be_cancelled(engine: Engine) -> None:
    OPEN["cancelled"] = asyncio.Event()
    script = engine.script("l_waiter", [calls(tool("wait", gate="cancelled")), {"output": "Done."}], unused=True)
    started = await engine.start("l_wait", {})
    await engine.eventually(started.job_id, lambda job: bool(job.calls[0].tool_calls))
    await engine.services.controller.pause(TESTER, started.job_id)
    OPEN["cancelled"].set()
    await engine.eventually(started.job_id, lambda job: job.calls[0].tool_calls[0].status is ToolStatus.COMPLETED)
    await engine.cancel(started.job_id)
    job = await engine.ended(started.job_id)
    assert (job.state, len(script.requests)) == (JobState.CANCELLED, 1)
    assert [call.status for call in job.calls] == [CallStatus.CANCELLED, CallStatus.SKIPPED]
    assert job.usage.total_tokens == 120


async def test_a_step_begins_at_its_time(engine: Engine) -> None:
    at = datetime.now(UTC) + timedelta(seconds=1)
    job = await engine.run("l_timed", {"at": at.isoformat()})
    assert job.state is JobState.COMPLETED, job.error
    past, due = job.calls
    assert past.scheduled_at is not None
    assert due.scheduled_at is not None
    assert past.scheduled_at < at <= due.scheduled_at
    history = await engine.history(job.id)
    assert sum(event.HasField("timer_started_event_attributes") for event in history.events) == 1
    await assert_replays([history], PLUGINS)


@pytest.mark.parametrize("at", ["tomorrow", 7])
async def test_a_time_that_is_none_fails_the_step_and_says_how_to_write_it(engine: Engine, at: object) -> None:
    job = await engine.run("l_timed", {"at": at})
    assert job.error is not None
    assert (job.state, job.error.type) == (JobState.FAILED, "condition_failed")
    assert "a time such as 2027-01-31T09:00:00Z" in job.error.message
