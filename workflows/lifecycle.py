"""The lifecycle of every job's workflow, built-in or an author's: adoption, outcome, and failure by its own errors."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception
from temporalio.worker import (
    ExecuteWorkflowInput,
    HandleQueryInput,
    HandleSignalInput,
    HandleUpdateInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

from orchestrator.domain import names
from orchestrator.domain.call_ids import CallId
from orchestrator.domain.commands import JobInput, Outcome, Recorded
from orchestrator.domain.errors import AgentError, OrchestratorError
from orchestrator.domain.ids import kind_of
from orchestrator.domain.jobs import JobError, JobState
from orchestrator.domain.text import error_message, error_name
from workflows.adoption import adopted, foreign, job_of, with_job, with_read_job
from workflows.exits import exit_error, is_exit
from workflows.steps import job_error

# What the workflow calls at its end, outside of the sandbox. It must not block.
Report = Callable[[Outcome], None]
_REPORT: Final = "orchestrator.report_end"


class EndReports(Interceptor):
    """Gives the ends of jobs to a function of the worker. A replay has none: what it ends was reported before."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor] | None:
        """None: the function is for `_JobLife`."""
        input.unsafe_extern_functions[_REPORT] = self._report
        return None


class JobLifecycle(Interceptor):
    """Wraps every workflow that is a job in `_JobLife`."""

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor] | None:
        """The class that wraps each execution."""
        return _JobLife


class _JobLife(WorkflowInboundInterceptor):
    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        info = workflow.info()
        if info.workflow_type in names.OWN_WORKFLOWS:
            return await super().execute_workflow(input)
        refusal: ApplicationError | None = None
        job = job_of(input)
        if foreign(job):
            if workflow.patched(names.PATCH_ADOPTION):
                job, refusal = await adopted(job, input)
                input = with_job(input, job)
            elif kind_of(info.workflow_id) is None:  # began before adoption existed
                return await super().execute_workflow(input)
        else:
            input = with_read_job(input, job)
        try:
            _raise(refusal)
            result = await super().execute_workflow(input)
            _check_result(input, result)
        except FailureError as error:
            cancelled = is_cancelled_exception(error)
            await _end(job, JobState.CANCELLED if cancelled else JobState.FAILED, error=job_error_of(error))
            raise
        except asyncio.CancelledError:
            await _end(job, JobState.CANCELLED, error=JobError(type="cancelled", message="Cancelled on request."))
            raise
        except workflow.NondeterminismError:
            # Temporal retries the task, so that a release that fits the history repairs the job.
            raise
        except Exception as error:
            # The edge of an author's code: an unexpected error fails the job. A failed task would be retried for ever.
            mistake = _mistake(error)
            await _end(job, JobState.FAILED, error=job_error_of(mistake))
            raise mistake from error
        except BaseException as error:
            if not _exits(error):
                raise
            failure = exit_error(error)
            if not isinstance(error, GeneratorExit):  # a closed coroutine must not await
                await _end(job, JobState.FAILED, error=JobError(type=failure.type or "", message=failure.message))
            raise failure from error
        await _end(job, JobState.COMPLETED)
        return result

    async def handle_signal(self, input: HandleSignalInput) -> None:
        with _exits_fail(), _mistakes_fail():
            await super().handle_signal(input)

    async def handle_query(self, input: HandleQueryInput) -> Any:
        with _exits_fail():
            return await super().handle_query(input)

    def handle_update_validator(self, input: HandleUpdateInput) -> None:
        with _exits_fail():
            super().handle_update_validator(input)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:
        with _exits_fail(), _mistakes_fail():
            return await super().handle_update_handler(input)


def _raise(refusal: ApplicationError | None) -> None:
    if refusal is not None:
        raise refusal


def _check_result(input: ExecuteWorkflowInput, result: Any) -> None:
    """Raise `ApplicationError` of type `no_result` for code that returns nothing, unless its annotation has None."""
    returns = str(getattr(input.run_fn, "__annotations__", {}).get("return", ""))
    if result is not None or "None" in returns or "Optional" in returns:
        return
    if workflow.patched(names.PATCH_RESULTS):  # Jobs of earlier releases completed without a result.
        message = "The code of the workflow returned nothing. Return a result, for example flow.result(answer)."
        error = JobError(type="no_result", message=message)
        raise ApplicationError(message, error, type=error.type, non_retryable=True)


@contextmanager
def _exits_fail() -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        if not _exits(error):
            raise
        raise exit_error(error) from error


def _exits(error: BaseException) -> bool:
    """Whether workflow code exits. Temporal closes the coroutines of an evicted run outside a workflow."""
    return is_exit(error) and (not isinstance(error, GeneratorExit) or workflow.in_workflow())


@contextmanager
def _mistakes_fail() -> Iterator[None]:
    """As in the workflow's coroutine: an error in a handler fails its job, or its update, instead of its task."""
    try:
        yield
    except (FailureError, workflow.NondeterminismError):
        raise
    except Exception as error:  # the edge of an author's code
        raise _mistake(error) from error


def _mistake(error: Exception) -> ApplicationError:
    """The failure for an unexpected exception of an author's code."""
    match error:
        case AgentError():
            word = error.kind
        case OrchestratorError():
            word = error.code
        case _:
            word = "workflow_error"
    job_error = JobError(type=word, message=f"{error_name(error)}: {error_message(error)}")
    return ApplicationError(job_error.message, job_error, type=job_error.type, non_retryable=True)


def job_error_of(error: FailureError) -> JobError:
    """The error of a failed workflow: its `JobError`, else that of the call that it did not catch, or of itself."""
    if isinstance(error, ApplicationError):
        if error.details and isinstance(error.details[0], JobError):
            return error.details[0]
        return JobError(type=error.type or "error", message=error.message)
    call = CallId.parse(error.activity_id) if isinstance(error, ActivityError) else None
    if call is not None and not is_cancelled_exception(error):
        return job_error(error, call.step).model_copy(update={"agent": call.agent})
    return JobError(type="cancelled" if is_cancelled_exception(error) else "error", message=str(error))


async def _end(job: JobInput, state: JobState, *, error: JobError | None = None) -> None:
    """Report the end of a job. No job waits for the index: history repairs it (A4)."""
    info = workflow.info()
    outcome = Outcome(
        job_id=info.workflow_id,
        run_id=info.run_id,
        first_run_id=info.first_execution_run_id,
        state=state,
        error=error,
    )
    if not job.reports_end:
        await _record(outcome)
    # A run that leaves the worker's cache counts as replaying.
    elif not workflow.unsafe.is_replaying() and (report := workflow.extern_functions().get(_REPORT)):
        report(outcome)


async def _record(outcome: Outcome) -> None:
    """Write the end of a job that an earlier release started, by a local activity."""
    writing = workflow.execute_local_activity(
        names.ACTIVITY_RECORD_OUTCOME,
        outcome,
        result_type=Recorded,
        start_to_close_timeout=timedelta(seconds=5),
        schedule_to_close_timeout=timedelta(seconds=10),
        retry_policy=RetryPolicy(maximum_attempts=2),
    )
    try:
        await asyncio.shield(writing)
    except FailureError as failure:  # a local activity raises its own error, and `ActivityError` only after a timeout
        workflow.logger.warning("outcome_not_recorded", extra={"error": str(failure.cause or failure)})
