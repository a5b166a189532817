"""An agent whose tool writes down each start and end in a file, for tests that kill the process it runs in."""

import asyncio
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from orchestrator.authoring import Agent, Plan, Plugin, Step, Tool, ToolCall, WorkflowDefinition
from orchestrator.testing import eventually
from tests.e2e.plugin import EFFECTS

SLOW = 7
GO = "go.txt"


class AnyInput(BaseModel):
    model_config = ConfigDict(extra="allow")


async def work(number: int, call: ToolCall) -> str:
    """Do one piece of work."""
    effects = Path(os.environ[EFFECTS])
    with effects.open("a") as file:
        file.write(f"start {call.effect_id} {call.attempt}\n")
    if number == SLOW:
        await eventually(lambda: asyncio.to_thread((effects.parent / GO).exists), bool, 100)
    with effects.open("a") as file:
        file.write(f"end {call.effect_id} {call.attempt}\n")
    return f"piece {number}"


AGENT = Agent(
    id="e_toolsmith",
    name="Toolsmith",
    squad="testing",
    description="Works with a tool",
    capabilities=("testing",),
    instructions="Do ten pieces of work, one after the other.",
    input_model=AnyInput,
    tools=(Tool(work, timeout=120),),
)
FLOW = WorkflowDefinition(
    id="e_tools",
    name="Tools",
    description="Ten tool calls",
    plan=Plan(steps=(Step(id="work", name="Work", squad="testing", agents=("e_toolsmith",)),)),
)
plugin = Plugin("tools", agents=(AGENT,), workflows=(FLOW,))
