"""Agents with tools on the whole engine: each request and each tool call is an activity of its own."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import pytest_asyncio
from pydantic import BaseModel

from orchestrator.authoring import (
    Agent,
    AgentError,
    Plan,
    Plugin,
    RetryPolicy,
    Secret,
    Step,
    Tool,
    ToolCall,
    WorkflowDefinition,
)
from orchestrator.domain.jobs import AttemptStatus, JobState, ToolStatus
from orchestrator.testing import Engine, assert_replays, calls, running_engine, tool

CALLS: list[tuple[str, Any, str, int]] = []


class Ticket(BaseModel):
    """A question of a customer."""

    text: str


class Order(BaseModel):
    """An order."""

    number: str
    amount: float


async def find_order(number: str, call: ToolCall) -> Order:
    """Look up an order.

    Args:
        number: The number of the order.
    """
    CALLS.append(("find_order", number, call.effect_id, call.attempt))
    return Order(number=number, amount=12.5)


async def refund(number: str, amount: float, call: ToolCall) -> str:
    """Pay an amount back."""
    CALLS.append(("refund", (number, amount), call.effect_id, call.attempt))
    if call.attempt == 1:
        raise AgentError("the bank is busy", kind="bank_busy", retryable=True)
    return f"paid {amount}"


async def read_long(size: int) -> str:
    """Read a long text."""
    return "".join(f"<{n}>" for n in range(size))


async def show_token(token: Annotated[str, Secret("TURNS_TEST_TOKEN")]) -> str:
    """Show what the token is."""
    return f"the token is {token}"


async def broken(number: str) -> str:
    """Always fails."""
    raise TypeError(f"cannot add {number}")


DESK = Agent(
    id="t_desk",
    name="Desk",
    squad="business",
    description="Answers customers",
    capabilities=("support",),
    instructions="Help the customer.",
    input_model=Ticket,
    tools=(
        find_order,
        Tool(refund, retry=RetryPolicy(initial_interval=0.01, maximum_attempts=3)),
        read_long,
        show_token,
        broken,
    ),
    max_turns=4,
)
FLOW = WorkflowDefinition(
    id="t_support",
    name="Support",
    description="Support",
    plan=Plan(steps=(Step(id="desk", name="Desk", squad="business", agents=("t_desk",)),)),
)
PLUGIN = Plugin("turns", agents=(DESK,), workflows=(FLOW,))


@pytest_asyncio.fixture(loop_scope="session")
async def engine(temporal_address: str, tmp_path: Path) -> AsyncIterator[Engine]:
    CALLS.clear()
    async with running_engine(temporal_address, tmp_path, [PLUGIN]) as running:
        yield running


async def test_tool_calls_are_activities_and_their_results_reach_the_model(engine: Engine):
    engine.script(
        "t_desk",
        [
            calls(tool("find_order", number="7")),
            calls(tool("refund", number="7", amount=12.5), tool("find_order", number="8")),
            {"output": "Paid back."},
        ],
    )

    job = await engine.run("t_support", {"text": "Where is 7?"})

    assert job.state is JobState.COMPLETED, job.error
    [call] = job.calls
    assert (call.turns, call.max_turns) == (3, 4)
    assert call.usage.total_tokens == 360
    assert [attempt.status for attempt in call.attempts] == [
        AttemptStatus.CONTINUED,
        AttemptStatus.CONTINUED,
        AttemptStatus.COMPLETED,
    ]
    tools = [(each.id, each.tool, each.status, each.attempts) for each in call.tool_calls]
    assert tools == [
        ("t1.1", "find_order", ToolStatus.COMPLETED, 1),
        ("t2.1", "refund", ToolStatus.COMPLETED, 2),
        ("t2.2", "find_order", ToolStatus.COMPLETED, 1),
    ]
    assert call.tool_calls[1].effect_id == f"{job.id}/desk/t_desk/t2.1"
    assert {effect for name, _, effect, _ in CALLS if name == "refund"} == {f"{job.id}/desk/t_desk/t2.1"}
    last = engine.requests("t_desk")[-1]
    assert '"amount": 12.5' in last.tool_results[0]
    assert "paid 12.5" in last.tool_results[1]
    await assert_replays([await engine.history(job.id)], [PLUGIN])
