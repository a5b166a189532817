"""A whole plugin in one file: a function agent, a workflow in code with a signal and a timer, and what lists them."""

from datetime import timedelta

from pydantic import BaseModel
from temporalio import workflow

from orchestrator.authoring import (
    Agent,
    AgentOutput,
    CodeWorkflow,
    FunctionCall,
    JobInput,
    JobResult,
    Plan,
    Plugin,
    Step,
    WorkflowDefinition,
)
from workflows.steps import call_agent

with workflow.unsafe.imports_passed_through():
    import httpx2


class Greeting(BaseModel):
    """Whom to greet."""

    name: str = "world"


async def greet(call: FunctionCall) -> AgentOutput:
    url = httpx2.URL("https://example.com").copy_with(params=call.input)
    return AgentOutput(summary="greeted", output=f"Hello {url.params['name']}")


GREETER = Agent(
    id="one_greeter",
    name="Greeter",
    squad="greeting",
    description="Greets",
    capabilities=("greeting",),
    input_model=Greeting,
    function=greet,
)
RUNS: list[str] = []


@workflow.defn(name="one_wait")
class WaitWorkflow:
    """Waits for a nudge or the end of its timer, then greets."""

    def __init__(self) -> None:
        self._nudged: Greeting | None = None

    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        RUNS.append(job.job_id)
        try:
            await workflow.wait_condition(lambda: self._nudged is not None, timeout=timedelta(milliseconds=100))
        except TimeoutError:
            self._nudged = Greeting()
        result = await call_agent(job, "greet", "one_greeter")
        return JobResult(output=result.output, metadata={"runs_seen": len(RUNS)})

    @workflow.signal
    def nudge(self, greeting: Greeting) -> None:
        self._nudged = greeting


plugin = Plugin(
    name="one_file",
    agents=(GREETER,),
    code_workflows=(
        CodeWorkflow(
            WorkflowDefinition(
                id="one_wait",
                name="Wait",
                description="Waits, then greets",
                plan=Plan(steps=(Step(id="greet", name="Greet", squad="greeting", agents=("one_greeter",)),)),
                code=True,
            ),
            WaitWorkflow,
        ),
    ),
)
