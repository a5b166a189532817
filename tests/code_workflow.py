"""Code-authored workflows of the suite: one with a signal and a timer, one that throws."""

from datetime import timedelta

from temporalio import workflow

from workflows.steps import call_agent

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain.commands import JobInput, JobResult


@workflow.defn(name="t_countdown")
class CountdownWorkflow:
    """Waits for a signal, or for its timer, then asks an agent."""

    def __init__(self) -> None:
        self._go = False

    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        try:
            await workflow.wait_condition(lambda: self._go, timeout=timedelta(seconds=job.input.get("seconds", 60)))
        except TimeoutError:
            return JobResult(output="nobody said go")
        result = await call_agent(job, "go", "t_echo")
        return JobResult(output=result.output)

    @workflow.signal
    def go(self) -> None:
        self._go = True


@workflow.defn(name="t_faulty")
class FaultyWorkflow:
    """Throws what no one foresaw."""

    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        raise ValueError("an author's mistake")
