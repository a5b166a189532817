"""The suite's own agents and workflows: plain functions that do what a test needs, fast, through the whole product."""

import asyncio
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from orchestrator.domain.agents import Agent, AgentOutput, Deliverable, FunctionCall
from orchestrator.domain.catalogue import CodeWorkflow, Plugin
from orchestrator.domain.errors import AgentError
from orchestrator.domain.expressions import cel
from orchestrator.domain.plans import Approval, Plan, Repeat, RetryPolicy, Step, Timeouts, WorkflowDefinition
from orchestrator.domain.usage import Usage
from tests.code_workflow import (
    AgainWorkflow,
    AtInitWorkflow,
    CountdownWorkflow,
    FaultyWorkflow,
    GatherWorkflow,
    HandOnWorkflow,
    ParentWorkflow,
)
from tests.questions_workflow import FormWorkflow

QUICK = RetryPolicy(initial_interval=0.05, backoff_coefficient=1.0, maximum_attempts=4)
WASTED = Usage(prompt_tokens=7)  # What an attempt of `flaky` costs that comes to nothing.
# Calls by effect id, over the whole test process: what really ran, however often.
CALLS: dict[str, int] = {}


class AnyInput(BaseModel):
    model_config = ConfigDict(extra="allow")


def _count(call: FunctionCall) -> int:
    CALLS[call.effect_id] = CALLS.get(call.effect_id, 0) + 1
    return CALLS[call.effect_id]


async def echo(call: FunctionCall) -> AgentOutput:
    _count(call)
    entries = [f"{one.step}={'full' if one.output is not None else 'summary'}" for one in call.context]
    return AgentOutput(summary=f"{call.step} echoed", output=f"{call.input} after {', '.join(entries) or 'nothing'}")


async def slow(call: FunctionCall) -> AgentOutput:
    """Runs until it is cancelled, or for `seconds` of the input."""
    _count(call)
    await asyncio.sleep(float(call.input.get("seconds", 60)))
    return AgentOutput(summary="slept", output="slept")


async def flaky(call: FunctionCall) -> AgentOutput:
    """Fails on the first `failures` attempts (default 2)."""
    if call.attempt <= int(call.input.get("failures", 2)):
        raise AgentError("not yet", kind="provider_unavailable", retryable=True, usage=WASTED)
    return AgentOutput(summary="at last", output="at last")


async def patient(call: FunctionCall) -> AgentOutput:
    """Asks to be tried again in five minutes."""
    raise AgentError("come back later", kind="provider_rate_limited", retryable=True, retry_after=300)


async def broken(call: FunctionCall) -> AgentOutput:
    raise AgentError("refused for good", kind="provider_rejected", retryable=False)


async def big(call: FunctionCall) -> AgentOutput:
    """Answers with `kilobytes` of text (default 200) and a file."""
    text = "x" * 1024 * int(call.input.get("kilobytes", 200))
    return AgentOutput(summary="big", output=text, deliverables=[Deliverable(path=f"{call.step}.txt", content=text)])


async def drafter(call: FunctionCall) -> AgentOutput:
    """A draft of its own each time, always under the same path."""
    _count(call)
    file = Deliverable(path="draft.md", content=call.effect_id)
    return AgentOutput(summary="drafted", output=f"draft {call.effect_id}", deliverables=[file])


async def weigh(call: FunctionCall) -> AgentOutput:
    """Answers with the length of the first answer that it was given."""
    return AgentOutput(summary="weighed", output=str(len(call.context[0].output or "")))


class TimedInput(BaseModel):
    """A format, a validator, a default: the type of the field alone shows none of them."""

    when: datetime
    seats: int = 8

    @field_validator("seats")
    @classmethod
    def _even(cls, seats: int) -> int:
        if seats == 13:
            raise KeyError(seats)
        if seats % 2:
            raise ValueError("seats come in pairs")
        return seats


async def timed(call: FunctionCall) -> AgentOutput:
    """Returns its input."""
    _count(call)
    report = f"{call.input['when'].year} {call.input['seats']}"
    return AgentOutput(summary=report, output=report)


def _agent(function: Any, name: str = "") -> Agent:
    name = name or f"t_{function.__name__}"
    return Agent(
        id=name,
        name=name,
        squad="testing",
        description=f"Test agent {name}",
        capabilities=("testing",),
        input_model=AnyInput,
        function=function,
        source="tests",
    )


AGENTS = (
    *(_agent(function) for function in (echo, slow, flaky, patient, broken, big, weigh, drafter)),
    _agent(big, "t_big_2"),
    _agent(big, "t_big_3"),
    _agent(timed).model_copy(update={"input_model": TimedInput}),
)
OUTPUT_SCHEMA: dict[str, Any] = {"type": "object"}


def step(id: str, *agents: str, needs: tuple[str, ...] = (), **more: Any) -> Step:
    values: dict[str, Any] = {"retry": QUICK, "timeouts": Timeouts(heartbeat=10)}
    return Step(id=id, name=id.title(), squad="testing", agents=agents, needs=needs, **{**values, **more})


def workflow(id: str, *steps: Step, code: bool = False, schema: dict[str, Any] = OUTPUT_SCHEMA) -> WorkflowDefinition:
    return WorkflowDefinition(
        id=id,
        name=id.replace("_", " ").title(),
        description=f"Test workflow {id}",
        complexity="low",
        estimated_time="1-2 seconds",
        estimated_cost="$0.00-$0.00",
        input_schema=schema,
        output_schema=OUTPUT_SCHEMA,
        plan=Plan(steps=steps),
        code=code,
        source="tests",
    )


WORKFLOWS = (
    workflow(
        "t_three",
        step("a", "t_echo"),
        step("b", "t_echo", needs=("a",)),
        step("c", "t_echo", needs=("b",)),
    ),
    workflow("t_wide", step("a", "t_echo", "t_slow"), step("b", "t_echo", needs=("a",))),
    workflow("t_flaky", step("a", "t_flaky")),
    workflow("t_patient", step("a", "t_patient", retry=RetryPolicy(maximum_interval=600))),
    workflow("t_broken", step("a", "t_echo", "t_broken"), step("b", "t_echo", needs=("a",)), step("c", "t_echo")),
    workflow(
        "t_approval",
        step("a", "t_echo"),
        step("b", "t_echo", needs=("a",), approval=Approval(message="Go on?")),
        step("c", "t_echo", needs=("b",)),
    ),
    workflow("t_strict", step("a", "t_echo"), schema={"type": "object", "required": ["topic"]}),
    workflow("t_approval_soon", step("a", "t_echo", approval=Approval(timeout=1))),
    workflow("t_slow", step("a", "t_slow"), step("b", "t_echo", needs=("a",))),
    workflow("t_short", step("a", "t_echo", short=True), step("b", "t_flaky", needs=("a",), short=True)),
    workflow("t_big", step("a", "t_big"), step("b", "t_echo", needs=("a",)), step("c", "t_echo", needs=("b",))),
    workflow("t_big_approval", step("a", "t_big"), step("b", "t_echo", needs=("a",), approval=Approval())),
    workflow("t_weigh", step("a", "t_big"), step("b", "t_weigh", needs=("a",))),
    workflow(
        "t_eighteen",
        *(step(f"s{n}", "t_big", "t_big_2", "t_big_3", needs=(f"s{n - 1}",) if n else ()) for n in range(6)),
    ),
    workflow(
        "t_elsewhere",
        step("a", "t_echo", task_queue="test-elsewhere", timeouts=Timeouts(schedule_to_close=2)),
        step("b", "t_echo", needs=("a",)),
    ),
    workflow("t_then_timed", step("a", "t_echo"), step("b", "t_timed", needs=("a",))),
    WorkflowDefinition(
        id="t_modelled",
        name="T Modelled",
        description="Test workflow with an input model",
        input_model=TimedInput,
        plan=Plan(steps=(step("a", "t_echo"),)),
        source="tests",
    ),
    workflow(
        "t_nested_children",
        step(
            "rounds",
            repeat=Repeat(until=cel("round == 2"), max_rounds=2),
            steps=(
                step(
                    "leaf",
                    for_each=cel("['x', 'y']"),
                    key=cel("item"),
                    workflow="t_short",
                    input={"topic": cel("item")},
                ),
                step("merge", "t_echo", needs=("leaf",)),
            ),
        ),
    ),
    workflow("t_long", *(step(f"s{n}", "t_echo", needs=(f"s{n - 1}",) if n else ()) for n in range(12))),
)

TEST_PLUGIN = Plugin(
    name="tests",
    agents=AGENTS,
    workflows=WORKFLOWS,
    code_workflows=(
        CodeWorkflow(workflow("t_countdown", step("go", "t_echo"), code=True), CountdownWorkflow),
        CodeWorkflow(
            workflow("t_again", step("draft", "t_drafter"), step("note", "t_drafter", short=True), code=True),
            AgainWorkflow,
        ),
        CodeWorkflow(workflow("t_parent", step("go", "t_echo"), code=True), ParentWorkflow),
        CodeWorkflow(workflow("t_at_init", step("go", "t_echo"), code=True), AtInitWorkflow),
        CodeWorkflow(workflow("t_gather", step("go", "t_big"), code=True), GatherWorkflow),
        CodeWorkflow(workflow("t_hand_on", step("go", "t_echo"), code=True), HandOnWorkflow),
        CodeWorkflow(workflow("t_form", step("ship", "t_echo"), code=True), FormWorkflow),
        CodeWorkflow(workflow("t_faulty", step("go", "t_echo"), code=True), FaultyWorkflow),
    ),
)
plugin = TEST_PLUGIN
