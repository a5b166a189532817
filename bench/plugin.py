"""The workflows of the benchmark: three trivial agents in sequence, and a job that waits for an approval."""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from orchestrator.domain.agents import Agent, AgentOutput, FunctionCall
from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.plans import Approval, Plan, Step, WorkflowDefinition

J3: Final = "bench_j3"
WAIT: Final = "bench_wait"


class Subject(BaseModel):
    """Any input."""

    model_config = ConfigDict(extra="allow")


async def answer(call: FunctionCall) -> AgentOutput:
    """Return at once."""
    return AgentOutput(summary=f"{call.step} done", output="x" * 200)


def _agent(number: int) -> Agent:
    return Agent(
        id=f"bench_agent_{number}",
        name=f"Bench agent {number}",
        squad="bench",
        description="Answers at once.",
        capabilities=("benchmark",),
        input_model=Subject,
        function=answer,
        source="bench",
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
    agents=tuple(_agent(number) for number in (1, 2, 3)),
    workflows=(
        _workflow(J3, *(_step(number) for number in (1, 2, 3))),
        _workflow(WAIT, _step(1), _step(2, approval=Approval()), _step(3)),
    ),
)
