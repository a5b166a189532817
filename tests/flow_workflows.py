"""Workflows of the suite that are written with `Flow`, and their agents with typed answers."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from temporalio import workflow

from orchestrator.domain.agents import Agent, AgentOutput, FunctionCall
from orchestrator.domain.catalogue import CodeWorkflow, Plugin
from orchestrator.domain.commands import JobInput, JobResult
from orchestrator.domain.errors import AgentError
from orchestrator.domain.plans import Plan, RetryPolicy, Step, WorkflowDefinition
from workflows.flow import CallFailed, Flow

ONCE = RetryPolicy(initial_interval=0.05, maximum_attempts=1)
# Inputs by effect id, over the whole test process: what really ran.
INPUTS: dict[str, dict[str, Any]] = {}


class AnyInput(BaseModel):
    model_config = ConfigDict(extra="allow")


class Grade(AgentOutput):
    good: bool
    score: int = Field(ge=0)


async def grade(call: FunctionCall) -> Grade:
    """Grades a number: even ones are good. An input `fails` fails for good."""
    INPUTS[call.effect_id] = call.input
    if call.input.get("fails"):
        raise AgentError("refused for good", kind="provider_rejected", retryable=False)
    score = int(call.input.get("number", 0))
    return Grade(summary=f"graded {score}", output=f"grade {score}", good=score % 2 == 0, score=score)


async def bulk(call: FunctionCall) -> AgentOutput:
    """Answers with `kilobytes` of text."""
    INPUTS[call.effect_id] = call.input
    return AgentOutput(summary="bulk", output="x" * 1024 * int(call.input.get("kilobytes", 50)))


GRADER = Agent(
    id="f_grader",
    name="Grader",
    squad="testing",
    description="Grades a number",
    capabilities=("testing",),
    input_model=AnyInput,
    output_model=Grade,
    function=grade,
)
BULK = Agent(
    id="f_bulk",
    name="Bulk",
    squad="testing",
    description="Answers with a long text",
    capabilities=("testing",),
    input_model=AnyInput,
    function=bulk,
)


@workflow.defn(name="f_chain")
class ChainFlow:
    """Grades, and grades the score again if the first grade is good."""

    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        flow = Flow(job)
        first = await flow.call(GRADER)
        if not first.data.good:
            return flow.result(first, note="odd")
        second = await flow.call(GRADER, input={"number": first.data.score + 1}, key="again", context=[first])
        return flow.result(second)


@workflow.defn(name="f_one")
class OneFlow:
    """Calls the agent that the input names."""

    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        flow = Flow(job)
        return flow.result(await flow.call(job.input["agent"]))


@workflow.defn(name="f_twice")
class TwiceFlow:
    """Calls one agent twice without a key."""

    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        flow = Flow(job)
        await flow.call(GRADER)
        return flow.result(await flow.call(GRADER))


@workflow.defn(name="f_map")
class MapFlow:
    """Grades `numbers`, with the options of the input."""

    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        flow = Flow(job)
        flow.expect(len(job.input["numbers"]))
        grades = await flow.map(
            GRADER,
            job.input["numbers"],
            key=lambda number: f"n{number}",
            input=lambda number: {"number": number, "fails": number in job.input.get("failing", [])},
            max_parallel=job.input.get("max_parallel", 3),
            enough=job.input.get("enough"),
            on_error=job.input.get("on_error", "fail"),
            step=Step(id="grades", name="Grades", squad="testing", agents=("f_grader",), retry=ONCE),
        )
        return flow.result(" ".join(str(each.data.score) for each in grades), failed=grades.failed)


@workflow.defn(name="f_bulk_map")
class BulkFlow:
    """Calls `calls` agents, each of which answers with 50 kB."""

    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        flow = Flow(job)
        answers = await flow.map(BULK, range(job.input["calls"]), input=lambda number: {"number": number})
        return flow.result(f"{len(answers)} answers")


@workflow.defn(name="f_fallback")
class FallbackFlow:
    """Catches a failed call and makes another, or fails with it."""

    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        flow = Flow(job)
        once = Step(id="first", name="First", squad="testing", agents=("f_grader",), retry=ONCE)
        try:
            return flow.result(await flow.call(GRADER, input={"fails": True}, step=once))
        except CallFailed as failure:
            if not job.input.get("catches"):
                raise
            return flow.result(await flow.call(GRADER, input={"number": 2}), failed={"first": failure.error})


@workflow.defn(name="f_parent")
class ParentFlow:
    """Runs a child of the type `child`, with the input `with`, between two calls."""

    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        flow = Flow(job)
        await flow.call(GRADER, input={"number": 1}, step="before")
        child = await flow.run_workflow(job.input["child"], job.input.get("with", {}), step="sub", key="one")
        await flow.call(GRADER, input={"fails": job.input.get("fails", False)}, step="after")
        return flow.result(child)


@workflow.defn(name="f_recursive")
class RecursiveFlow:
    """Runs itself as its child."""

    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        return (flow := Flow(job)).result(await flow.run_workflow("f_recursive"))


class Shipping(BaseModel):
    street: str
    express: bool = Field(False, description="Arrives tomorrow.")


@workflow.defn(name="f_people")
class PeopleFlow:
    """Asks for an address, calls an agent, and asks for a yes."""

    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        flow = Flow(job)
        by, askers = tuple(job.input.get("by", ())), tuple(job.input.get("ask_by", ()))
        patience = job.input.get("timeout", 60)
        to = await flow.ask(Shipping, "Where does it go?", step="address", timeout=patience, by=askers)
        graded = await flow.call(GRADER, input={"number": len(to.street)})
        if not await flow.approval("Ship it now?", step="ship", show=to, by=by):
            return flow.result(note="kept back")
        await flow.sleep(0.01, "packing")
        return flow.result(graded, note=to.street)


def definition(id: str, *steps: Step) -> WorkflowDefinition:
    return WorkflowDefinition(id=id, name=id, description=f"Test workflow {id}", plan=Plan(steps=steps), code=True)


FLOWS = (ChainFlow, OneFlow, TwiceFlow, MapFlow, BulkFlow, FallbackFlow, ParentFlow, PeopleFlow, RecursiveFlow)
FLOW_PLUGIN = Plugin(
    name="flows",
    agents=(GRADER, BULK),
    code_workflows=tuple(
        CodeWorkflow(definition(getattr(flow, "__temporal_workflow_definition").name), flow) for flow in FLOWS
    ),
)
