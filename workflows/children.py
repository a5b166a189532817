"""Child jobs (decision 0037): another workflow of the catalogue as one call of a step, in plans and in code."""

import asyncio
from datetime import timedelta
from typing import Any, Final

from temporalio import workflow
from temporalio.common import RetryPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ActivityError, ApplicationError, ChildWorkflowError, WorkflowAlreadyStartedError

from workflows.starts import priority_of, search_attributes_of
from workflows.steps import next_call, record_reuse, reused_answer

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain import names
    from orchestrator.domain.call_ids import CallId, shortened_key
    from orchestrator.domain.children import ChildCall, ChildClosing, ChildEnd, ChildRequest, child_request
    from orchestrator.domain.commands import AgentResult, JobConfig, JobInput
    from orchestrator.domain.conversations import JobEnded, JobQuery
    from orchestrator.domain.jobs import JobError
    from orchestrator.domain.text import headline, inert

_RETRY: Final = RetryPolicy(maximum_interval=timedelta(seconds=10))
_LONGEST: Final = timedelta(days=365)


async def run_child(
    job: JobInput,
    definition: str,
    input: dict[str, Any],
    *,
    step: str,
    key: str = "",
    config: JobConfig | None = None,
) -> AgentResult:
    """Run a workflow of the catalogue as a child job, and wait for its result.

    `key` is a whole key, as `call_key` makes it. The child belongs to the owner of the job, is in lists, and is
    cancelled with the job. Its cost counts in the job, too. In a retry, a child that has completed for the same input
    is not started again.
    Raises `ApplicationError` if the input is invalid, or if the child has ended without a result.
    """
    call = next_call(step, definition, _key(key))
    request = child_request(
        job, call, parent=workflow.info().workflow_id, input=input, config=config, at=workflow.now()
    )
    if job.code and (answer := reused_answer(job, call, request.asks())) is not None:
        await record_reuse(*answer)
        return answer[1]
    child = await _open(request, call)
    await _execute(child, ChildCall(id=str(call), asks=request.asks()))
    end = await asyncio.shield(_close(child, call))
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
    if end.result is not None:
        return end.result
    raise _failure(end, call)


def _key(key: str) -> str:
    """The key of a child. Histories of earlier releases shorten a key of several parts to one."""
    shortened = shortened_key(key)
    return key if key == shortened or workflow.patched(names.PATCH_KEYS_OF_CHILDREN) else shortened


async def _open(request: ChildRequest, call: CallId) -> JobInput:
    try:
        child: JobInput = await workflow.execute_local_activity(
            names.ACTIVITY_OPEN_CHILD,
            request,
            activity_id=str(call),
            result_type=JobInput,
            start_to_close_timeout=timedelta(seconds=30),
            schedule_to_close_timeout=timedelta(minutes=10),
            retry_policy=_RETRY,
        )
    except ApplicationError as error:  # a local activity raises the error itself
        cause = JobError(type=error.type or "error", message=error.message, step=call.step, agent=call.agent)
        raise ApplicationError(cause.message, cause, type=cause.type, non_retryable=True) from None
    return child


async def _execute(child: JobInput, call: ChildCall) -> None:
    """Run the child to its end, however it ends: its history says how."""
    try:
        handle = await workflow.start_child_workflow(
            child.definition,
            child,
            id=child.job_id,
            memo={names.MEMO_CALL: call.model_dump()},
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            cancellation_type=workflow.ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
            parent_close_policy=workflow.ParentClosePolicy.REQUEST_CANCEL,
            static_summary=headline(inert(child.name)),
            priority=priority_of(child),
            search_attributes=search_attributes_of(child),
        )
        await handle
    except WorkflowAlreadyStartedError:
        # The parent was reset, or its worker died and the reconciler started the child.
        await _wait_for(child)
    except ChildWorkflowError:
        pass


async def _wait_for(child: JobInput) -> None:
    try:
        await workflow.execute_activity(
            names.ACTIVITY_AWAIT_JOB,
            JobQuery(job_id=child.job_id, owner=child.owner),
            result_type=JobEnded,
            start_to_close_timeout=timedelta(seconds=30),
            schedule_to_close_timeout=_LONGEST,
            retry_policy=_RETRY,
        )
    except (asyncio.CancelledError, ActivityError):
        await workflow.get_external_workflow_handle(child.job_id).cancel()
        raise


async def _close(child: JobInput, call: CallId) -> ChildEnd:
    end: ChildEnd = await workflow.execute_local_activity(
        names.ACTIVITY_CLOSE_CHILD,
        ChildClosing(job_id=child.job_id, call=str(call)),
        activity_id=str(call),
        result_type=ChildEnd,
        start_to_close_timeout=timedelta(seconds=30),
        schedule_to_close_timeout=timedelta(minutes=10),
        retry_policy=_RETRY,
    )
    return end


def _failure(end: ChildEnd, call: CallId) -> ApplicationError:
    kind, reason = (end.error.type, end.error.message) if end.error else (str(end.state).lower(), "no reason")
    message = f"Child job {end.job_id} of {call.agent} ended as {end.state}: {reason}"
    error = JobError(type=kind, message=message, step=call.step, agent=call.agent)
    return ApplicationError(error.message, error, type=kind, non_retryable=True)
