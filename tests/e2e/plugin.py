"""Eighteen agents that write down each start and end in a file, for tests that kill the process they run in."""

import asyncio
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from orchestrator.domain.agents import Agent, AgentFunction, AgentOutput, FunctionCall
from orchestrator.domain.catalogue import CodeWorkflow, Plugin
from orchestrator.domain.plans import Plan, RetryPolicy, Step, Timeouts, WorkflowDefinition
from tests.e2e.flow_workflow import CrashFlow

EFFECTS = "ORCHESTRATOR_TEST_EFFECTS"
STEPS, WIDTH = 6, 3


class AnyInput(BaseModel):
    model_config = ConfigDict(extra="allow")


def _worker(seconds: float) -> AgentFunction:
    async def work(call: FunctionCall) -> AgentOutput:
        with Path(os.environ[EFFECTS]).open("a") as effects:
            effects.write(f"start {call.effect_id} {call.attempt}\n")
        await asyncio.sleep(float(call.input.get("seconds", seconds)))
        with Path(os.environ[EFFECTS]).open("a") as effects:
            effects.write(f"end {call.effect_id} {call.attempt}\n")
        return AgentOutput(summary="worked", output=f"{call.step} worked")

    return work


async def _poison(call: FunctionCall) -> AgentOutput:
    """Ends its worker's process, as a crash of a native library would."""
    with Path(os.environ[EFFECTS]).open("a") as effects:
        effects.write(f"start {call.effect_id} {call.attempt}\n")
    os._exit(3)


def _agent(number: int) -> Agent:
    return Agent(
        id=f"e_worker_{number}",
        name=f"Worker {number}",
        squad="testing",
        description="Works for a while",
        capabilities=("testing",),
        input_model=AnyInput,
        function=_worker(0.5),
        source="tests/e2e",
    )


def _step(number: int) -> Step:
    return Step(
        id=f"step_{number}",
        name=f"Step {number}",
        squad="testing",
        agents=tuple(f"e_worker_{number * WIDTH + at}" for at in range(WIDTH)),
        needs=(f"step_{number - 1}",) if number else (),
        retry=RetryPolicy(initial_interval=0.1, maximum_attempts=10),
        timeouts=Timeouts(heartbeat=4),
    )


def _workflow(id: str, *steps: Step) -> WorkflowDefinition:
    return WorkflowDefinition(
        id=id,
        name=id,
        description="For tests that kill processes",
        estimated_time="1-5 seconds",
        estimated_cost="$0.00-$0.00",
        input_schema={"type": "object"},
        output_schema={"type": "object"},
        plan=Plan(steps=steps),
        source="tests/e2e",
    )


POISON = Agent(
    id="e_poison",
    name="Poison",
    squad="testing",
    description="Ends its worker",
    capabilities=("testing",),
    input_model=AnyInput,
    function=_poison,
    source="tests/e2e",
)
_POISONED = _step(0).model_copy(
    update={
        "agents": (POISON.id,),
        "retry": RetryPolicy(initial_interval=0.1, backoff_coefficient=1, maximum_attempts=1),
        "timeouts": Timeouts(heartbeat=2),
    }
)

_FLOW = WorkflowDefinition(id="e_flow", name="e_flow", description="For tests that kill processes", code=True)
plugin = Plugin(
    name="e2e",
    agents=(*(_agent(number) for number in range(STEPS * WIDTH)), POISON),
    workflows=(
        _workflow("e_eighteen", *(_step(n) for n in range(STEPS))),
        _workflow("e_one", _step(0)),
        _workflow("e_usual_limits", _step(0).model_copy(update={"retry": RetryPolicy(), "timeouts": Timeouts()})),
        _workflow("e_poisoned", _POISONED),
    ),
    code_workflows=(CodeWorkflow(_FLOW, CrashFlow),),
)
