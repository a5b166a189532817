"""Workflow code for tests that kill the process it runs in: a fan-out, then a child job."""

from temporalio import workflow

from orchestrator.domain.commands import JobInput, JobResult
from orchestrator.domain.plans import RetryPolicy, Step, Timeouts
from workflows.flow import Flow

ITEMS = 6
STEP = Step(
    id="fan",
    name="Fan",
    squad="testing",
    agents=("e_worker_0",),
    retry=RetryPolicy(initial_interval=0.1, maximum_attempts=10),
    timeouts=Timeouts(heartbeat=4),
)


@workflow.defn(name="e_flow")
class CrashFlow:
    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        flow = Flow(job)
        flow.expect(ITEMS + 1)
        await flow.map("e_worker_0", range(ITEMS), input=lambda _: job.input, max_parallel=2, step=STEP)
        return flow.result(await flow.run_workflow("e_one"))
