"""Agents and workflows of recorded histories: a plan that decides, an agent with tools, code that asks and waits.

A committed history names them. Change none of them: add another one for another history.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict
from temporalio import workflow

from orchestrator.domain.agents import Agent, AgentOutput, FunctionCall
from orchestrator.domain.catalogue import CodeWorkflow, Plugin
from orchestrator.domain.commands import JobInput, JobResult
from orchestrator.domain.errors import AgentError
from orchestrator.domain.expressions import cel
from orchestrator.domain.plans import Plan, Repeat, RetryPolicy, Step, WorkflowDefinition
from orchestrator.domain.questions import Ask
from orchestrator.domain.tools import Tool
from workflows.flow import Flow

ONCE = RetryPolicy(initial_interval=0.05, maximum_attempts=1)


class Anything(BaseModel):
    model_config = ConfigDict(extra="allow")


class Judgement(AgentOutput):
    good: bool
    names: list[str]


class Address(BaseModel):
    city: str


async def judge(call: FunctionCall) -> Judgement:
    """Judges an input by its own words. An input `fails` fails for good."""
    if call.input.get("fails"):
        raise AgentError("refused", kind="provider_rejected", retryable=False)
    text = str(call.input.get("text", "judged"))
    return Judgement(summary=text, output=text, good=bool(call.input.get("good")), names=["a", "b", "c"])


async def look_up(number: int) -> str:
    """Look a number up."""
    return f"number {number}"


async def pay(amount: int) -> str:
    """Pay an amount."""
    return f"paid {amount}"


async def fail(number: int) -> str:
    """Fail, and wait ten minutes for another attempt."""
    raise RuntimeError(f"failure of {number}")


def _agent(id: str, **more: Any) -> Agent:
    values = {"name": id, "squad": "testing", "description": id, "capabilities": ("t",), "input_model": Anything}
    return Agent(id=id, **values, **more)


JUDGE = _agent("r_judge", function=judge, output_model=Judgement)
DESK = _agent("r_desk", instructions="Pay.", tools=(Tool(look_up), Tool(pay, ask_before=True)))

FAILING = _agent(
    "r_failing",
    instructions="Fail.",
    tools=(Tool(fail, retry=RetryPolicy(initial_interval=600, maximum_interval=600, maximum_attempts=3)),),
)


def _step(id: str, *agents: str, **more: Any) -> Step:
    return Step(id=id, agents=agents, retry=ONCE, **more)


DECIDING = Plan(
    answer="end",
    steps=(
        _step("sort", "r_judge", input={"good": False}),
        _step("unlikely", "r_judge", needs=("sort",), when=cel("steps.sort.good")),
        _step(
            "work",
            "r_judge",
            needs=("sort",),
            for_each=cel("steps.sort.names"),
            key=cel("item"),
            input={"text": cel("item"), "fails": cel("item == 'b'")},
            max_parallel=2,
            on_error="continue",
        ),
        Step(
            id="polish",
            needs=("work",),
            repeat=Repeat(until=cel("steps.review.good"), max_rounds=3),
            steps=(
                _step("write", "r_judge", input={"text": cel("'draft ' + string(round)")}),
                _step("review", "r_judge", needs=("write",), input={"good": cel("round == 2")}),
            ),
        ),
        Step(id="form", needs=("polish",), ask=Ask(form=Address, message="Where?")),
        Step(id="sub", needs=("form",), workflow="r_small", input={"text": cel("steps.form.city")}),
        _step("risky", "r_judge", needs=("sub",), input={"fails": True}, on_error="goto", goto="rescue"),
        _step("rescue", "r_judge", input={"text": cel("error.type")}),
        Step(id="pause", needs=("sub",), delay=0.05),
        _step("end", "r_judge", needs=("pause",), input={"text": cel("steps.sub.output")}),
    ),
)


@workflow.defn(name="r_tour")
class TourWorkflow:
    """Maps, asks and sleeps."""

    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        flow = Flow(job)
        flow.expect(4)
        await flow.map(JUDGE, ["x", "y", "z"], key=str, input=lambda name: {"text": name}, max_parallel=2)
        address = await flow.ask(Address, "Where?", step="address", timeout=600)
        await flow.sleep(0.05, "travelling")
        return flow.result(await flow.call(JUDGE, input={"text": address.city}, key="end"))


def _definition(id: str, plan: Plan, *, code: bool = False) -> WorkflowDefinition:
    return WorkflowDefinition(id=id, name=id, description=id, plan=plan, code=code)


HISTORY_PLUGIN = Plugin(
    name="histories",
    agents=(JUDGE, DESK, FAILING),
    workflows=(
        _definition("r_deciding", DECIDING),
        _definition("r_small", Plan(steps=(_step("only", "r_judge"),))),
        _definition("r_tools", Plan(steps=(_step("desk", "r_desk"),))),
        _definition("r_failures", Plan(steps=(_step("desk", "r_failing"),))),
    ),
    code_workflows=(CodeWorkflow(_definition("r_tour", Plan(), code=True), TourWorkflow),),
)
