"""Parallel sections, then votes: three views at once, and as many votes as suffice."""

from orchestrator.authoring import CodeWorkflow, JobInput, JobResult, WorkflowDefinition
from temporalio import workflow
from workflows.flow import Flow

from agent_patterns.agents import ACCOUNTANT, CHAIR, ENGINEER, JUROR, LAWYER


@workflow.defn(name="p_voting")
class Voting:
    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        flow = Flow(job)
        views = await flow.gather(flow.call(LAWYER), flow.call(ACCOUNTANT), flow.call(ENGINEER))
        votes = await flow.map(JUROR, job.input["seats"], key=str, max_parallel=5, enough=3)
        yes = sum(vote.data.guilty for vote in votes)
        return flow.result(await flow.call(CHAIR, input={"yes": yes, "votes": len(votes)}, context=views))


VOTING = CodeWorkflow(
    WorkflowDefinition(id="p_voting", name="Voting", description="Hears three views, then a jury", code=True), Voting
)
