"""Evaluator and optimizer: write and review, at most three times."""

from orchestrator.authoring import CodeWorkflow, JobInput, JobResult, WorkflowDefinition
from temporalio import workflow
from workflows.flow import Flow

from agent_patterns.agents import PUBLISHER, REVIEWER, WRITER


@workflow.defn(name="p_polishing")
class Polishing:
    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        flow, remarks = Flow(job), ""
        for number in flow.rounds(3):
            draft = await flow.call(WRITER, input={"brief": job.input["brief"], "remarks": remarks}, key=number)
            review = await flow.call(REVIEWER, input={"text": draft.output}, key=number)
            if review.data.approved:
                return flow.result(await flow.call(PUBLISHER, input={"text": draft.output}))
            remarks = review.data.remarks
        raise flow.failed("never_approved", f"three drafts were refused, the last one for: {remarks}")


POLISHING = CodeWorkflow(
    WorkflowDefinition(id="p_polishing", name="Polishing", description="Writes until approved", code=True), Polishing
)
