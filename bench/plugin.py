"""The workflows of the benchmark: trivial agents, an agent with a tool, one that writes, and a job that waits."""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from bench.agent_names import ASSISTANT, TEXT_MODEL, TOOL_MODEL
from orchestrator.domain.agents import Agent, AgentOutput, FunctionCall
from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.plans import Approval, Plan, Step, WorkflowDefinition

J3: Final = "bench_j3"
SHORT: Final = "bench_short"
WAIT: Final = "bench_wait"
TOOLS: Final = "bench_tools"
TEXT: Final = "bench_text"


class Subject(BaseModel):
    """Any input."""

    model_config = ConfigDict(extra="allow")


async def answer(call: FunctionCall) -> AgentOutput:
    """Return at once."""
    return AgentOutput(summary=f"{call.step} done", output="x" * 200)


async def look_up(name: str) -> str:
    """Look an item up."""
    return f"Found: {name}"


def _agent(name: str, **more: Any) -> Agent:
    return Agent(
        id=f"bench_{name}",
        name=f"Bench {name}",
        squad="bench",
        description="For the benchmark alone.",
        capabilities=("benchmark",),
        input_model=Subject,
        source="bench",
        **more,
    )


def _workflow(name: str, *steps: Step) -> WorkflowDefinition:
    schema: dict[str, Any] = {"type": "object"}
    return WorkflowDefinition(
        id=name,
        name=name,
        description="For the benchmark alone.",
        estimated_time="1 second",
        estimated_cost="$0.00",
        input_schema=schema,
        output_schema=schema,
        plan=Plan(steps=steps),
        source="bench",
    )


def _step(number: int, **more: Any) -> Step:
    needs = (f"step_{number - 1}",) if number > 1 else ()
    values = {"id": f"step_{number}", "name": f"Step {number}", "squad": "bench", "needs": needs}
    return Step(agents=(f"bench_agent_{number}",), **values, **more)


plugin: Final = Plugin(
    name="bench",
    agents=(
        *(_agent(f"agent_{number}", function=answer) for number in (1, 2, 3)),
        _agent("tools", model=TOOL_MODEL, instructions=ASSISTANT, tools=(look_up,)),
        _agent("text", model=TEXT_MODEL, instructions="You write a long text."),
    ),
    workflows=(
        _workflow(J3, *(_step(number) for number in (1, 2, 3))),
        _workflow(SHORT, *(_step(number, short=True) for number in (1, 2, 3))),
        _workflow(TOOLS, Step(id="look", agents=("bench_tools",))),
        _workflow(TEXT, Step(id="write", agents=("bench_text",))),
        _workflow(WAIT, _step(1), _step(2, approval=Approval()), _step(3)),
    ),
)
