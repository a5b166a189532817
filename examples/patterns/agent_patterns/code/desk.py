"""An autonomous agent: it decides which of its tools to use, and how often."""

from orchestrator.authoring import CodeWorkflow, JobInput, JobResult, WorkflowDefinition
from temporalio import workflow
from workflows.flow import Flow

from agent_patterns.agents import DESK


@workflow.defn(name="p_desk_case")
class DeskCase:
    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        flow = Flow(job)
        return flow.result(await flow.call(DESK, input={"message": job.input["message"]}))


DESK_CASE = CodeWorkflow(
    WorkflowDefinition(id="p_desk_case", name="Desk", description="Answers with tools", code=True), DeskCase
)
