"""Orchestrator and workers: the lead decides on the tasks; failed ones do not end the job."""

from orchestrator.authoring import CodeWorkflow, JobInput, JobResult, WorkflowDefinition
from temporalio import workflow
from workflows.flow import Flow

from agent_patterns.agents import EDITOR, LEAD, WORKER


@workflow.defn(name="p_workers")
class Workers:
    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        flow = Flow(job)
        tasks = (await flow.call(LEAD)).data.tasks
        flow.expect(len(tasks) + 2)  # From here on, the progress is exact.
        parts = await flow.map(WORKER, tasks, key=lambda task: task.id, max_parallel=5, on_error="continue")
        merged = await flow.call(EDITOR, input={"parts": [part.output for part in parts]})
        return flow.result(merged, failed=parts.failed)


WORKERS = CodeWorkflow(
    WorkflowDefinition(id="p_workers", name="Workers", description="Divides work and merges it", code=True), Workers
)
