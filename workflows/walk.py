"""Walks the steps of a plan: waits, conditions, approvals, failures. What a step runs is in `workflows.bodies`."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

from workflows.notes import note
from workflows.questions import questions_of_run
from workflows.run_state import RunState
from workflows.scopes import StepScope, may_begin, reason_to_skip, skipped, value_of
from workflows.steps import job_error
from workflows.tasks import stop

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain.call_ids import place_of
    from orchestrator.domain.commands import Decision, JobInput
    from orchestrator.domain.expressions import Cel
    from orchestrator.domain.jobs import JobError
    from orchestrator.domain.names import APPROVAL_TIMER_PREFIX, WAIT_TIMER_PREFIX
    from orchestrator.domain.notes import FailedStep, Note, StepSkipped
    from orchestrator.domain.plans import Approval, Step
    from orchestrator.domain.questions import approval_question
    from orchestrator.domain.step_ends import EndStatus, StepEnd


class StepPassed(Exception):
    """A step that has begun has no result, and is skipped. The text says why."""


class Walk:
    """One run of a plan: its state, and the steps that have calls open now."""

    def __init__(self, job: JobInput, state: RunState, show: Callable[[], None]) -> None:
        self.job = job
        self.state = state
        self.show = show
        self.active: set[str] = set()
        self.questions = questions_of_run()
        self.body: Callable[[Step, StepScope], Awaitable[StepEnd]]

    async def scope(self, scope: StepScope) -> None:
        """Walk all steps of a scope to their ends. Raises the first failure that ends the scope."""
        walkers = self.start(scope)
        try:
            await workflow.wait_condition(lambda: is_over(walkers))
        except asyncio.CancelledError:
            await stop(walkers)
            raise
        failed = [error for walker in walkers if walker.done() and (error := walker.exception()) is not None]
        await stop(walkers)
        if failed:
            raise failed[0]

    def start(self, scope: StepScope) -> list[asyncio.Task[None]]:
        """Start a walker for each step of a scope."""
        after = self._order(scope)
        return [asyncio.create_task(self._walk(step, scope, after.get(step.id))) for step in scope.steps]

    def _order(self, scope: StepScope) -> dict[str, str]:
        """The step that each step follows if the job runs nothing in parallel; a plan without decisions is chained."""
        if self.job.config.parallel_execution or not self.job.plan.decides:
            return {}
        ids = [step.id for step in scope.steps]
        return dict(zip(ids[1:], ids, strict=False))

    async def _walk(self, step: Step, scope: StepScope, after: str | None) -> None:
        """Run one step, from its wait to its end."""
        if step.id in scope.ends:
            return
        await workflow.wait_condition(
            lambda: may_begin(step, scope) and (after is None or after in scope.ends) and self.may_start()
        )
        scope.ends[step.id] = await self._end_of(step, scope)
        self.show()

    async def _end_of(self, step: Step, scope: StepScope) -> StepEnd:
        try:
            why = reason_to_skip(step, scope, self.job.input)
            if why is not None:
                self.note(StepSkipped(step=step.id, key=scope.key, why=why))
                return skipped(why)
            await self._wait_for_time(step, scope)
            if step.approval is not None:
                await self._approved(step, step.approval)
                await workflow.wait_condition(self.may_start)
            self.show()
            return await self.body(step, scope)
        except StepPassed as passed:
            self.note(StepSkipped(step=step.id, key=scope.key, why=str(passed)))
            return skipped(str(passed))
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            return self._failed(step, scope, error_of(error, step.id))
        except ApplicationError as error:
            return self._failed(step, scope, error_of(error, step.id))

    def _failed(self, step: Step, scope: StepScope, error: JobError) -> StepEnd:
        """Apply the step's rule for failures: end the scope, go on, or go to the step that handles it."""
        if step.goto is not None:
            scope.caught[step.goto] = error
            self.note(FailedStep(step=step.id, key=scope.key, error=error, on_error="goto"))
            return StepEnd(EndStatus.FAILED, error=error, why=f"{step.goto} handles it")
        if not self.continues(step):
            if scope.parent is None:  # Else the group around it decides what becomes of the failure.
                self.state.failures[step.id] = error
            # `from None`: the event of the failed call has the same cause.
            raise failure(error) from None
        self.fail(step, scope.key, error)
        return StepEnd(EndStatus.FAILED, error=error)

    def fail(self, step: Step, key: str, error: JobError) -> None:
        """Record a failure that does not end the job."""
        self.state.failures[place_of(step.id, key)] = error
        if self.job.plan.decides:
            self.note(FailedStep(step=step.id, key=key, error=error, on_error="continue"))

    def continues(self, step: Step) -> bool:
        """Whether the job goes on after a failure of the step."""
        return step.on_error == "continue" or (step.on_error is None and not self.job.config.stop_on_error)

    def may_start(self) -> bool:
        """Whether new work may begin: not while the job is paused, nor before it continues as a new run."""
        return not self.state.paused and not draining()

    def note(self, *notes: Note) -> None:
        """Write notes into history, each once for all runs of the job."""
        new = {_digest(each): each for each in notes}
        new = {digest: each for digest, each in new.items() if digest not in self.state.noted}
        self.state.noted |= dict.fromkeys(new)
        note(*new.values())

    async def _wait_for_time(self, step: Step, scope: StepScope) -> None:
        """Wait for the step's delay or time. The end of the wait is kept, so that a new run does not wait again."""
        if step.delay is None and step.until_time is None:
            return
        due = self.state.due.get(place_of(step.id, scope.key))
        if due is None:
            due = self.state.due[place_of(step.id, scope.key)] = self._due(step, scope)
        if (left := due - workflow.now()) > timedelta():
            await workflow.sleep(left, summary=WAIT_TIMER_PREFIX + place_of(step.id, scope.key))
        await workflow.wait_condition(self.may_start)

    def _due(self, step: Step, scope: StepScope) -> datetime:
        value: Any = step.delay if step.until_time is None else step.until_time
        if isinstance(value, Cel):
            value = value_of(value, "the wait", scope, step, self.job.input)
        try:
            if step.until_time is None:
                return workflow.now() + timedelta(seconds=float(value))
            due = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        except (ValueError, TypeError, OverflowError):
            form = "a number of seconds" if step.until_time is None else "a time such as 2027-01-31T09:00:00Z"
            message = f"the wait of step {step.id!r} is {str(value)[:100]!r}: expected {form}"
            raise ApplicationError(message, type="condition_failed", non_retryable=True) from None
        return due if due.tzinfo else due.replace(tzinfo=UTC)

    async def _approved(self, step: Step, approval: Approval) -> None:
        """Wait until the step is approved. If only some may approve, it is a question, which says who may answer."""
        if not approval.by:
            await self._wait_for_approval(step, approval)
            return
        if self.job.retry is not None and step.id in [each.step for each in self.job.retry.approvals]:
            return
        question = approval_question(step.id, step.id, approval.message, timeout=approval.timeout, by=approval.by)
        self.show()
        answer = await self.questions.ask(question)
        # A decision by signal is in the state already.
        actor = answer.actor or ""
        self.state.decide(Decision(step=step.id, actor=actor, note=answer.note), approved=answer.approved)
        if not answer.approved:
            raise ApplicationError(answer.note or f"rejected by {actor}", type="rejected", non_retryable=True)

    async def _wait_for_approval(self, step: Step, approval: Approval) -> None:
        """Wait for a decision. The timer of the wait is in history and shows that the step waits."""
        deadline = self.state.approval_deadlines.setdefault(
            step.id, workflow.now() + timedelta(seconds=approval.timeout)
        )
        self.show()
        try:
            await workflow.wait_condition(
                lambda: step.id in self.state.approved or step.id in self.state.rejected,
                timeout=max(timedelta(seconds=1), deadline - workflow.now()),
                timeout_summary=APPROVAL_TIMER_PREFIX + step.id,
            )
        except TimeoutError:
            # A decision of the same workflow task counts.
            if step.id not in self.state.approved and step.id not in self.state.rejected:
                raise ApplicationError("nobody approved in time", type="approval_timeout", non_retryable=True) from None
        if step.id in self.state.rejected:
            raise ApplicationError(self.state.rejected[step.id], type="rejected", non_retryable=True)


def _digest(note: Note) -> str:
    return hashlib.sha256(note.model_dump_json().encode()).hexdigest()[:16]


def draining() -> bool:
    """Whether the job must continue as a new run, because its history is long."""
    return workflow.info().is_continue_as_new_suggested()


def failure(error: JobError) -> ApplicationError:
    """The failure of a job or of a group by the error of a step."""
    where = f"{error.step}: " if error.step else ""
    return ApplicationError(f"{where}{error.message}", error, type="step_failed", non_retryable=True)


def error_of(error: ActivityError | ApplicationError, step: str) -> JobError:
    """The error of a failed step; of a group, the error of the step in it that failed."""
    if isinstance(error, ApplicationError) and error.type == "step_failed" and error.details:
        inner: JobError = error.details[0]
        return inner
    return job_error(error, step)


def is_over(walkers: Sequence[asyncio.Task[None]]) -> bool:
    """Whether every walker has ended, or one has failed."""
    done = [walker for walker in walkers if walker.done()]
    return len(done) == len(walkers) or any(walker.exception() is not None for walker in done)
