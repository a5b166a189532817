"""The interpreter (A1): one workflow that walks any declared plan. Started under the definition's own id."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

from workflows.details import describe
from workflows.steps import call_agent, job_error

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain.agents import StepOutput
    from orchestrator.domain.commands import AgentResult, Carried, Control, Decision, JobInput, JobResult
    from orchestrator.domain.jobs import JobError
    from orchestrator.domain.names import APPROVAL_TIMER_PREFIX, PATCH_JSON_PROTOBUF, SIGNAL_APPROVE, SIGNAL_PAUSE
    from orchestrator.domain.plans import Approval, Step
    from orchestrator.domain.results import assemble
    from orchestrator.domain.signals import JSON_PROTOBUF, SignalInput, read_control


# The sandbox took a third of a job's processor time. Tests enforce its rules for this class (decision 0012).
@workflow.defn(dynamic=True, sandboxed=False)
class PlanWorkflow:
    """Runs each step once the steps that it needs are done. `Carried` is its whole state."""

    def __init__(self) -> None:
        self._state = Carried()
        self._settled: set[str] = set()
        self._active: set[str] = set()
        self._pause_signal: bool | None = None

    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> JobResult:
        """Walk the plan to its end. Fails with type `step_failed` at the first failed step if so configured."""
        job = workflow.payload_converter().from_payload(args[0].payload, JobInput)
        if job.code:
            # Fails the task, not the job: Temporal retries it until a worker knows the class.
            raise workflow.NondeterminismError(f"this worker has no class for workflow {job.definition!r}")
        self._job = job
        self._plan = job.plan if job.config.parallel_execution else job.plan.in_sequence()
        self._restore(job.carried)
        walkers = [asyncio.create_task(self._walk(step)) for step in self._plan.steps]
        try:
            await self._all_settled(walkers)
        except (asyncio.CancelledError, Exception):
            # Not `finally`: a workflow that leaves the worker's cache must not await.
            await _stop(walkers)
            raise
        if not self._state.results:
            raise _failure(next(iter(self._state.failures.values())))
        return assemble(job, self._state.results, self._state.failures, workflow.now())

    @workflow.signal(dynamic=True)
    def control(self, name: str, args: Sequence[RawValue]) -> None:
        """Handle `pause`, `resume`, `approve` or `reject`. Raw values, so that no input can fail the workflow task."""
        inputs = [SignalInput.of(arg.payload.metadata, arg.payload.data) for arg in args]
        message = read_control(name, inputs)
        if message is None:
            workflow.logger.warning("signal_ignored", extra={"signal": name})
            return
        if inputs and inputs[0].encoding == JSON_PROTOBUF and not workflow.patched(PATCH_JSON_PROTOBUF):
            return  # Earlier releases ignored this encoding; their histories must replay.
        if isinstance(message, Control):
            self._pause_signal = name == SIGNAL_PAUSE
            self._state = self._state.model_copy(update={"paused": self._pause_signal})
        else:
            self._decide(message, approved=name == SIGNAL_APPROVE)

    def _decide(self, decision: Decision, *, approved: bool) -> None:
        """Approve or reject a step. Only the first decision for a step counts."""
        if decision.step in self._state.approved or decision.step in self._state.rejected:
            return
        if approved:
            self._state.approved.append(decision.step)
        else:
            self._state.rejected[decision.step] = decision.note or f"rejected by {decision.actor}"

    def _restore(self, carried: Carried | None) -> None:
        """Restore the state of the earlier run. Signals that arrived before this call are kept."""
        if carried is None:
            return
        arrived = self._state
        decided = {*carried.approved, *carried.rejected}
        rejected = {step: note for step, note in arrived.rejected.items() if step not in decided}
        self._state = carried.model_copy(
            update={
                "approved": [*carried.approved, *(step for step in arrived.approved if step not in decided)],
                "rejected": {**carried.rejected, **rejected},
                "paused": carried.paused if self._pause_signal is None else self._pause_signal,
            }
        )
        done = {(result.step, result.agent) for result in carried.results}
        for step in self._plan.steps:
            failed = any(error.step == step.id for error in carried.failures.values())
            if failed or all((step.id, agent) in done for agent in step.agents):
                self._settled.add(step.id)

    async def _all_settled(self, walkers: list[asyncio.Task[None]]) -> None:
        """Wait for the last step. Continue as new if history is long and no step is active."""
        await workflow.wait_condition(lambda: self._must_continue() or _is_over(walkers))
        for walker in walkers:
            if walker.done() and (error := walker.exception()) is not None:
                raise error
        if not all(walker.done() for walker in walkers):
            await workflow.wait_condition(workflow.all_handlers_finished)
            workflow.continue_as_new(self._job.model_copy(update={"carried": self._state}))

    def _must_continue(self) -> bool:
        return self._draining() and not self._active and len(self._settled) < len(self._plan.steps)

    @staticmethod
    def _draining() -> bool:
        return workflow.info().is_continue_as_new_suggested()

    async def _walk(self, step: Step) -> None:
        """Run one step, from its wait to its end."""
        if step.id in self._settled:
            return
        await workflow.wait_condition(lambda: self._settled.issuperset(step.needs) and self._may_start())
        try:
            if step.approval is not None:
                await self._wait_for_approval(step, step.approval)
                await workflow.wait_condition(self._may_start)
            self._active.add(step.id)
            self._show()
            await self._run_agents(step)
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            self._fail(step, job_error(error, step.id))
        except ApplicationError as error:
            self._fail(step, job_error(error, step.id))
        finally:
            self._active.discard(step.id)
        self._settled.add(step.id)
        self._show()

    def _may_start(self) -> bool:
        return not self._state.paused and not self._draining()

    async def _wait_for_approval(self, step: Step, approval: Approval) -> None:
        """Wait for a decision. The timer of the wait is in history and shows that the step waits."""
        deadline = self._state.approval_deadlines.setdefault(
            step.id, workflow.now() + timedelta(seconds=approval.timeout)
        )
        self._show()
        try:
            await workflow.wait_condition(
                lambda: step.id in self._state.approved or step.id in self._state.rejected,
                timeout=max(timedelta(seconds=1), deadline - workflow.now()),
                timeout_summary=APPROVAL_TIMER_PREFIX + step.id,
            )
        except TimeoutError:
            raise ApplicationError("nobody approved in time", type="approval_timeout", non_retryable=True) from None
        if step.id in self._state.rejected:
            raise ApplicationError(self._state.rejected[step.id], type="rejected", non_retryable=True)

    async def _run_agents(self, step: Step) -> None:
        """Run all agents of a step, in parallel or in order. Raises the first failure after every call has ended."""
        done = {result.agent for result in self._state.results if result.step == step.id}
        open_calls = [agent for agent in step.agents if agent not in done]
        context = self._context(step)
        if not self._job.config.parallel_execution:
            for agent in open_calls:
                await self._run_agent(step, agent, context)
            return
        calls = [asyncio.create_task(self._run_agent(step, agent, context)) for agent in open_calls]
        try:
            await workflow.wait(calls, return_when=self._return_when())
        except asyncio.CancelledError:
            await _stop(calls)
            raise
        await _stop(calls)
        errors = [error for call in calls if not call.cancelled() and (error := call.exception()) is not None]
        # Prefer the cause: other calls were cancelled because of it.
        errors.sort(key=is_cancelled_exception)
        if errors:
            raise errors[0]

    def _return_when(self) -> str:
        return asyncio.FIRST_EXCEPTION if self._job.config.stop_on_error else asyncio.ALL_COMPLETED

    async def _run_agent(self, step: Step, agent: str, context: list[StepOutput]) -> None:
        result: AgentResult = await call_agent(self._job, step, agent, context)
        self._state.results.append(result)
        self._show()

    def _context(self, step: Step) -> list[StepOutput]:
        """The full answers of the steps that this step needs, and a summary of every other answer."""
        return [result.as_context(full=result.step in step.needs) for result in self._state.results]

    def _fail(self, step: Step, error: JobError) -> None:
        self._state.failures[step.id] = error
        if self._job.config.stop_on_error:
            # `from None`: the event of the failed call has the same cause.
            raise _failure(error) from None

    def _show(self) -> None:
        """Update the page of the job in the Temporal UI."""
        workflow.set_current_details(describe(self._plan, self._state, self._settled, self._active))


def _failure(error: JobError) -> ApplicationError:
    where = f"{error.step}: " if error.step else ""
    return ApplicationError(f"{where}{error.message}", error, type="step_failed", non_retryable=True)


def _is_over(walkers: Sequence[asyncio.Task[None]]) -> bool:
    """Whether every walker has ended, or one has failed."""
    done = [walker for walker in walkers if walker.done()]
    return len(done) == len(walkers) or any(walker.exception() is not None for walker in done)


async def _stop(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel the running tasks and wait for their end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
