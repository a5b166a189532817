"""The patterns of `examples/patterns`, with tools that write each start and end in a file.

For tests that kill the process in which they run: `examples/patterns` must be on the path.
"""

import os
from dataclasses import replace
from pathlib import Path

from agent_patterns import agents
from agent_patterns.plugin import plugin as patterns

from orchestrator.authoring import Tool, ToolCall
from tests.e2e.plugin import EFFECTS


def _write(what: str, call: ToolCall, tool: str) -> None:
    with Path(os.environ[EFFECTS]).open("a") as effects:
        effects.write(f"{what} {call.effect_id} {call.attempt} {tool}\n")


async def find_order(number: str, call: ToolCall) -> str:
    """Look up an order by its number."""
    _write("start", call, "find_order")
    text = await agents.find_order(number)
    _write("end", call, "find_order")
    return text


async def refund(number: str, amount: float, call: ToolCall) -> str:
    """Pay an amount of an order back."""
    _write("start", call, "refund")
    text = await agents.refund(number, amount)
    _write("end", call, "refund")
    return text


DESK = agents.DESK.model_copy(update={"tools": (Tool(find_order), Tool(refund))})
AGENTS = tuple(DESK if agent.id == DESK.id else agent for agent in patterns.agents)
plugin = replace(patterns, agents=AGENTS)
