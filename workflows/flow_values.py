"""What `Flow` takes and raises: inputs, context, keys and failures of calls."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ValidationError
from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError

from workflows.steps import job_error

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain.agents import StepOutput
    from orchestrator.domain.call_ids import optional_key, place_of
    from orchestrator.domain.call_results import Result
    from orchestrator.domain.commands import AgentResult
    from orchestrator.domain.jobs import JobError
    from orchestrator.domain.questions import INVALID_QUESTION, beginning

Input = Mapping[str, Any] | BaseModel
"""The input of a call: a mapping, or a model such as the `data` of an earlier result."""
Context = Result[Any] | AgentResult | StepOutput
"""What a later call sees of an earlier one."""


class CallFailed(ApplicationError):
    """A call has failed after all its attempts. `error` says why; if nobody catches this, the job fails with it."""

    def __init__(self, error: JobError) -> None:
        super().__init__(error.message, error, type=error.type, non_retryable=True)
        self.error = error


def seconds(duration: timedelta | float) -> float:
    """A duration in seconds."""
    return duration.total_seconds() if isinstance(duration, timedelta) else duration


def question_id(step: str, key: str | int) -> str:
    """The id of a question of a step."""
    return place_of(step, optional_key(key))


def snake_case(name: str) -> str:
    """`ShippingAddress` as `shipping_address`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def mistake(message: str, kind: str, *, step: str | None = None) -> ApplicationError:
    """The error of a mistake in workflow code: it fails the job."""
    error = JobError(type=kind, message=message, step=step)
    return ApplicationError(message, error, type=kind, non_retryable=True)


@contextmanager
def checked_question(step: str) -> Iterator[None]:
    """While workflow code describes a question: a value that cannot be is a mistake of the code, named by its field."""
    try:
        yield
    except ValidationError as error:
        faults = [": ".join((*map(str, fault["loc"]), fault["msg"])) for fault in error.errors(include_url=False)]
        message = "; ".join(faults).replace("Value error, ", "")  # What pydantic writes before a validator's own words.
        raise mistake(f"question {step!r}: {message}", INVALID_QUESTION, step=step) from None
    except ValueError as error:
        raise mistake(f"question {step!r}: {error}", INVALID_QUESTION, step=step) from None


def plain(input: Input) -> dict[str, Any]:
    """An input as plain data."""
    return input.model_dump(mode="json") if isinstance(input, BaseModel) else dict(input)


def details_of(show: Result[Any] | Input | str | None) -> Any:
    """What a question shows. A long text is shown by its beginning."""
    if isinstance(show, Mapping | BaseModel):
        return plain(show)
    return beginning(show.output if isinstance(show, Result) else show) if show is not None else None


def item_input(item: Any) -> Input:
    """The input of an item without a function that makes it."""
    return item if isinstance(item, Mapping | BaseModel) else {"item": item}


def as_context(entry: Context) -> StepOutput:
    """What a call sees of an earlier one."""
    if isinstance(entry, StepOutput):
        return entry
    return (entry.answer if isinstance(entry, Result) else entry).as_context(full=True)


def error_of(failure: FailureError, step: str, agent: str) -> JobError:
    """The error of a failed call, with its step and agent."""
    details = failure.details if isinstance(failure, ApplicationError) else ()
    if details and isinstance(details[0], JobError):
        return details[0].model_copy(update={"step": step, "agent": agent})
    return job_error(failure, step).model_copy(update={"agent": agent})
