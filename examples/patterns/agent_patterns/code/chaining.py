"""Prompt chaining with a gate: the second call happens only if the first is good enough."""

from orchestrator.authoring import CodeWorkflow, JobInput, JobResult, WorkflowDefinition
from temporalio import workflow
from workflows.flow import Flow

from agent_patterns.agents import CHECKER, OUTLINER, WRITER


@workflow.defn(name="p_chaining")
class Chaining:
    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        flow = Flow(job)
        outline = await flow.call(OUTLINER)
        gate = await flow.call(CHECKER, input={"text": outline.output})
        if not gate.data.good:
            return flow.result(outline, note=gate.data.why)
        return flow.result(await flow.call(WRITER, input={"outline": outline.output}))


CHAINING = CodeWorkflow(
    WorkflowDefinition(id="p_chaining", name="Chaining", description="Writes what passes a gate", code=True), Chaining
)
