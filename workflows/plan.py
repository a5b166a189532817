"""The interpreter (A1): one workflow that walks any declared plan. Started under the definition's own id."""

import asyncio
from collections.abc import Sequence

from temporalio import workflow
from temporalio.common import RawValue

from workflows.adoption import JobValue
from workflows.bodies import Bodies
from workflows.details import describe
from workflows.questions import Questions, questions_of_run
from workflows.run_state import RunState, note_of
from workflows.scopes import StepScope
from workflows.tasks import stop
from workflows.turns import loops
from workflows.walk import Walk, draining, failure, is_over

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain.commands import Control, Decision, JobInput, JobResult
    from orchestrator.domain.names import PATCH_JSON_PROTOBUF, SIGNAL_APPROVE, SIGNAL_PAUSE
    from orchestrator.domain.results import assemble
    from orchestrator.domain.signals import JSON_PROTOBUF, SignalInput, read_control
    from orchestrator.domain.step_ends import EndStatus, StepEnd, step_fields


# The sandbox took a third of a job's processor time. Tests enforce its rules for this class (decision 0012).
@workflow.defn(dynamic=True, sandboxed=False)
class PlanWorkflow:
    """Runs each step once the steps that it needs are done. `RunState` is its whole state."""

    def __init__(self) -> None:
        self._state = RunState()
        self._questions: Questions | None = None
        self._early: list[tuple[Decision, bool]] = []

    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> JobResult:
        """Walk the plan to its end. Fails with type `step_failed` at the first failed step if so configured."""
        value = args[0]
        converter = workflow.payload_converter()
        job = value.job if isinstance(value, JobValue) else converter.from_payload(value.payload, JobInput)
        if job.code:
            # Fails the task, not the job: Temporal retries it until a worker knows the class.
            raise workflow.NondeterminismError(f"this worker has no class for workflow {job.definition!r}")
        self._job = job
        loops().is_paused = lambda: self._state.paused
        loops().is_draining = draining
        in_sequence = not job.config.parallel_execution and not job.plan.decides
        self._plan = job.plan.in_sequence() if in_sequence else job.plan
        self._top = StepScope(self._plan.steps)
        self._questions = questions_of_run()
        for decision, approved in self._early:
            self._questions.decide(decision, approved=approved)
        self._is_drawn_soon = False
        self._walk = Walk(job, self._state, self._show)
        self._walk.body = Bodies(self._walk).run
        if job.retry is not None:
            self._state.said |= {each.step: note_of(each) for each in job.retry.approvals if each.note}
        if job.carried is not None:
            self._state.restore(job.carried)
            self._restore_ends()
        walkers = self._walk.start(self._top)
        try:
            await self._all_settled(walkers)
        except (asyncio.CancelledError, Exception):
            # Not `finally`: a workflow that leaves the worker's cache must not await.
            await stop(walkers)
            raise
        if not self._state.answers and self._state.failures:
            raise failure(next(iter(self._state.failures.values())))
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
            self._state.pause(paused=name == SIGNAL_PAUSE)
        else:
            self._decide(message, approved=name == SIGNAL_APPROVE)

    def _decide(self, decision: Decision, *, approved: bool) -> None:
        """Decide on a step, or on a tool call of an agent. A signal can arrive before the run begins."""
        self._state.decide(decision, approved=approved)
        if self._questions is None:
            self._early.append((decision, approved))
        else:
            self._questions.decide(decision, approved=approved)

    def _restore_ends(self) -> None:
        """The ends of plain steps that have all their answers, or that have failed.

        Other steps run again: they decide the same, and the calls that have answers are not made again.
        """
        for step in self._plan.steps:
            if step.decides:
                continue
            error = next((error for error in self._state.failures.values() if error.step == step.id), None)
            results = [result for result in self._state.results if result.step == step.id]
            if error is not None:
                self._top.ends[step.id] = StepEnd(EndStatus.FAILED, error=error)
            elif {result.agent for result in results}.issuperset(step.agents):
                fields = step_fields(results, by_agent=len(step.agents) > 1)
                self._top.ends[step.id] = StepEnd(EndStatus.COMPLETED, fields)

    async def _all_settled(self, walkers: list[asyncio.Task[None]]) -> None:
        """Wait for the last step. Continue as new if history is long and no call is active."""
        await workflow.wait_condition(lambda: self._must_continue() or is_over(walkers))
        for walker in walkers:
            if walker.done() and (error := walker.exception()) is not None:
                raise error
        if not all(walker.done() for walker in walkers):
            await workflow.wait_condition(workflow.all_handlers_finished)
            workflow.continue_as_new(self._job.model_copy(update={"carried": self._state.carried()}))

    def _must_continue(self) -> bool:
        """Whether the job continues as a new run now: no call is active, or all of them wait between two turns."""
        if not draining() or len(self._top.ends) == len(self._plan.steps):
            return False
        active = self._walk.active
        return not active or (loops().all_parked() and active <= loops().parked.keys())

    def _show(self) -> None:
        """Update the page of the job in the Temporal UI: once for all calls that begin or end together."""
        if not self._is_drawn_soon:
            self._is_drawn_soon = True
            asyncio.get_running_loop().call_soon(self._draw)

    def _draw(self) -> None:
        self._is_drawn_soon = False
        workflow.set_current_details(describe(self._plan, self._state, self._top.ends, self._walk.active))
