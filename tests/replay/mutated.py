"""The interpreter with one mistake: it walks the plan backwards. The replay tests must catch it."""

from collections.abc import Sequence
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RawValue

from workflows.plan import PlanWorkflow

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain.commands import JobInput, JobResult


@workflow.defn(dynamic=True)
class MutatedPlanWorkflow(PlanWorkflow):
    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> JobResult:
        job = workflow.payload_converter().from_payload(args[0].payload, JobInput)
        for step in reversed(job.plan.steps):
            await workflow.execute_activity(
                step.agents[0],
                job,
                activity_id=f"{step.id}.{step.agents[0]}",
                schedule_to_close_timeout=timedelta(minutes=1),
            )
        return JobResult(output="")
