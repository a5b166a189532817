"""Turns a workflow that was not started through the API into a job, before its code runs."""

import dataclasses
from datetime import timedelta
from typing import Any

from pydantic import ValidationError
from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy, SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception
from temporalio.worker import ExecuteWorkflowInput

from orchestrator.domain import names
from orchestrator.domain.commands import Adopted, Adoption, JobIndexing, JobInput, PlainInput
from orchestrator.domain.conversations import is_conversation
from orchestrator.domain.errors import UnknownWorkflow
from orchestrator.domain.ids import kind_of
from orchestrator.domain.jobs import JobError
from workflows.starts import search_attributes_of


class UnknownWorkflowType(Exception):
    """Fails the workflow task, not the workflow: Temporal retries the task until a worker knows the type."""


@dataclasses.dataclass(frozen=True)
class JobValue(RawValue):
    """The argument of the interpreter, which is read already."""

    job: JobInput


def job_of(input: ExecuteWorkflowInput) -> JobInput:
    """The job that the workflow was started with, or a `PlainInput`."""
    if not (arguments := _arguments(input)):
        return PlainInput()
    first = arguments[0]
    if isinstance(first, RawValue):
        first = workflow.payload_converter().from_payload(first.payload, JobInput)
    if isinstance(first, JobInput):
        return first
    try:
        return JobInput.model_validate(first)
    except ValidationError:
        return PlainInput(value=first)


def with_job(input: ExecuteWorkflowInput, job: JobInput) -> ExecuteWorkflowInput:
    """The input with another job, in the form that the workflow's class expects."""
    args = input.args
    if _raw(args):
        changed: list[Any] = [[JobValue(workflow.payload_converter().to_payload(job), job)]]
    else:
        changed = [job if not args or isinstance(args[0], JobInput) else job.model_dump(mode="json")]
    return dataclasses.replace(input, args=changed)


def with_read_job(input: ExecuteWorkflowInput, job: JobInput) -> ExecuteWorkflowInput:
    """The input for the interpreter, which does not have to read its job again. Others have read theirs."""
    if not _raw(input.args):
        return input
    return dataclasses.replace(input, args=[[JobValue(input.args[0][0].payload, job)]])


def foreign(job: JobInput) -> bool:
    """Whether the workflow was not started by the API, by a conversation, or by an earlier run of its own job."""
    info = workflow.info()
    if job.job_id != info.workflow_id:
        return True
    if info.continued_run_id is not None:
        return False
    child = info.parent is not None and not is_conversation(info.parent.workflow_id) and not _opened(job)
    # The API sets the attribute of every job: a workflow started by hand lacks it.
    return child or kind_of(info.workflow_id) is None or _attribute(names.ATTRIBUTE_OWNER) is None


async def adopted(job: JobInput, input: ExecuteWorkflowInput) -> tuple[JobInput, ApplicationError | None]:
    """The workflow's own job, and the failure of a job that its schedule may not start.

    Raises a non-retryable `ApplicationError` for a workflow that cannot be a job, and `UnknownWorkflowType` if this
    worker lacks its type.
    """
    info = workflow.info()
    if hasattr(input.type.__init__, "__temporal_workflow_init"):  # type: ignore[misc]
        raise _refusal(
            "takes_input_at_init",
            f"The class of {info.workflow_type!r} takes its input in __init__ (@workflow.init), "
            "so that only the API can start it",
        )
    adoption = await _adopt(_adoption(job, inputs=len(_arguments(input))))
    workflow.upsert_search_attributes(
        [pair.key.value_set(pair.value) for pair in search_attributes_of(adoption.job).search_attributes]
    )
    if not adoption.indexed:
        await _index_later(adoption.job)
    return adoption.job, _failure(adoption.refusal)


def _opened(job: JobInput) -> bool:
    """Whether the parent has written the child's row already."""
    parent, opener = workflow.info().parent, job.parent
    return parent is not None and opener is not None and opener.job_id == parent.workflow_id


def _arguments(input: ExecuteWorkflowInput) -> list[Any]:
    """The workflow's arguments. The interpreter gets them as one list."""
    return list(input.args[0]) if _raw(input.args) else list(input.args)


def _raw(args: Any) -> bool:
    return len(args) == 1 and isinstance(args[0], list) and all(isinstance(value, RawValue) for value in args[0])


def _adoption(job: JobInput, *, inputs: int) -> Adoption:
    info = workflow.info()
    plain = isinstance(job, PlainInput)
    return Adoption(
        job_id=info.workflow_id,
        run_id=info.run_id,
        first_run_id=info.first_execution_run_id,
        definition=info.workflow_type,
        job_input=None if plain else job,
        value=job.value if isinstance(job, PlainInput) else None,
        inputs=inputs,
        owner=_attribute(names.ATTRIBUTE_OWNER),
        parent=info.parent.workflow_id if info.parent else None,
        schedule=_attribute(names.ATTRIBUTE_SCHEDULE),
        at=info.workflow_start_time,
    )


def _attribute(name: str) -> str | None:
    return workflow.info().typed_search_attributes.get(SearchAttributeKey.for_keyword(name))


async def _adopt(adoption: Adoption) -> Adopted:
    try:
        adopted: Adopted = await workflow.execute_local_activity(
            names.ACTIVITY_ADOPT_JOB,
            adoption,
            activity_id=names.ACTIVITY_ADOPT_JOB,
            result_type=Adopted,
            start_to_close_timeout=timedelta(seconds=30),
            schedule_to_close_timeout=timedelta(minutes=10),
            retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=10)),
        )
    except ApplicationError as error:  # a local activity raises the error itself
        if error.type == UnknownWorkflow.code:
            raise UnknownWorkflowType(error.message) from None
        raise _refusal(error.type or "not_adopted", error.message) from None
    except ActivityError as failure:
        if is_cancelled_exception(failure):
            raise
        raise _refusal("not_adopted", f"The adoption took too long: {failure.cause or failure}") from None
    return adopted


def _refusal(kind: str, reason: str) -> ApplicationError:
    message = f"This workflow cannot be a job. {reason}"
    return ApplicationError(message, JobError(type=kind, message=message), type=kind, non_retryable=True)


def _failure(refusal: JobError | None) -> ApplicationError | None:
    if refusal is None:
        return None
    return ApplicationError(refusal.message, refusal, type=refusal.type, non_retryable=True)


async def _index_later(job: JobInput) -> None:
    """Start a workflow that writes the row. It continues after the end of the job."""
    info = workflow.info()
    await workflow.start_child_workflow(
        names.WORKFLOW_INDEX_JOB,
        JobIndexing(job=job, run_id=info.run_id, at=info.workflow_start_time),
        id=f"index_{info.run_id}",
        parent_close_policy=workflow.ParentClosePolicy.ABANDON,
    )
