"""Code-authored workflows of the suite: a signal and a timer, a mistake, a repeated call, a child."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from workflows.steps import call_agent

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain.agents import StepOutput
    from orchestrator.domain.commands import JobDeliverable, JobInput, JobResult
    from orchestrator.domain.results import assemble


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


@workflow.defn(name="t_again")
class AgainWorkflow:
    """Calls one step and agent `times` times, in turn or side by side, over one run or `runs` runs."""

    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        agent = job.input.get("agent", "t_drafter")
        times = range(job.input.get("times", 3))
        if job.input.get("gather"):
            results = await asyncio.gather(*(call_agent(job, "draft", agent) for _ in times))
        else:
            results = [await call_agent(job, "draft", agent) for _ in times]
        if job.input.get("short"):
            await call_agent(job, "note", "t_drafter")
            await call_agent(job, "note", "t_drafter")
        if job.input.get("runs", 1) > 1:
            workflow.continue_as_new(job.model_copy(update={"input": {**job.input, "runs": job.input["runs"] - 1}}))
        if job.input.get("fails"):
            raise ApplicationError("that will do", type="enough", non_retryable=True)
        return assemble(job, results, {}, workflow.now())


@workflow.defn(name="t_drafts")
class DraftsWorkflow:
    """Asks for `drafts` one after the other, each with the answer of the one before, then for a step that may fail."""

    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        context: list[StepOutput] = []
        results = []
        for _ in range(job.input["drafts"]):
            results.append(await call_agent(job, "draft", "t_drafter", context))
            context = [results[-1].as_context(full=True)]
        results.append(await call_agent(job, "last", job.input["last"], context))
        return assemble(job, results, {}, workflow.now())


@workflow.defn(name="t_parent")
class ParentWorkflow:
    """Runs a child of the type `child`: with `with`, or with its own job if there is none."""

    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        asked = job.input
        result: JobResult = await workflow.execute_child_workflow(
            asked["child"], asked.get("with", job), id=asked["id"], result_type=JobResult
        )
        return JobResult(output=result.output)


@workflow.defn(name="t_at_init")
class AtInitWorkflow:
    """Takes its job when it is made."""

    @workflow.init
    def __init__(self, job: JobInput) -> None:
        self._job = job

    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        return JobResult(output=self._job.job_id)


@workflow.defn(name="t_gather")
class GatherWorkflow:
    """Asks `calls` agents at once, each with `context` kilobytes of its own, and returns all of their answers."""

    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        context = "c" * 1024 * int(job.input.get("context", 0))
        step = job.plan.steps[0]
        calls = [
            call_agent(
                job,
                step.model_copy(update={"id": f"go{number}"}),
                "t_big",
                [StepOutput(step="given", agent="t_big", summary=str(number), output=f"{number} {context}")],
            )
            for number in range(int(job.input["calls"]))
        ]
        results = await asyncio.gather(*calls)
        files = [
            JobDeliverable(
                path=f"{number}.txt", media_type="text/plain", content=result.output, step="go", agent=result.agent
            )
            for number, result in enumerate(results)
        ]
        return JobResult(output=str(len(results)), deliverables=files)


@workflow.defn(name="t_hand_on")
class HandOnWorkflow:
    """Hands its whole input to a run that continues it, once."""

    @workflow.run
    async def run(self, job: JobInput) -> JobResult:
        if workflow.info().continued_run_id is None:
            workflow.continue_as_new(job)
        return JobResult(output=job.input["text"])
