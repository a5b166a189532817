"""Temporal failures as job errors: a stable word and a sentence."""

from typing import Final

from pydantic_core import from_json
from temporalio.api.enums.v1 import TimeoutType
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure

from orchestrator.domain.jobs import JobError

_TIMEOUTS: Final = {
    TimeoutType.TIMEOUT_TYPE_HEARTBEAT: ("heartbeat_timeout", "The worker that ran this call stopped reporting."),
    TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE: ("start_to_close_timeout", "One attempt took longer than its limit."),
    TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE: ("schedule_to_close_timeout", "All attempts together took too long."),
    TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START: ("schedule_to_start_timeout", "No worker took the call in time."),
}


def error_of(failure: Failure) -> JobError:
    """The error of a failure, by its innermost cause that has one."""
    if failure.HasField("timeout_failure_info"):
        word, sentence = _TIMEOUTS.get(failure.timeout_failure_info.timeout_type, ("timeout", failure.message))
        return JobError(type=word, message=sentence, retryable=True)
    if failure.HasField("application_failure_info"):
        info = failure.application_failure_info
        return JobError(type=info.type or "error", message=failure.message, retryable=_retryable(info))
    if failure.HasField("cause"):
        return error_of(failure.cause)
    if failure.HasField("canceled_failure_info"):
        return JobError(type="cancelled", message=failure.message or "Cancelled.")
    if failure.HasField("terminated_failure_info"):
        return JobError(type="terminated", message=failure.message or "Terminated.")
    return JobError(type="error", message=failure.message or "The failure carries no message.")


def _retryable(info: ApplicationFailureInfo) -> bool:
    """Whether another attempt can help. Temporal does not retry the last allowed one: its details say if it could."""
    if not info.non_retryable:
        return True
    last = next((payload.data for payload in reversed(info.details.payloads)), b"")
    try:
        details = from_json(last)
    except ValueError:  # an author's details, in another encoding
        return False
    return isinstance(details, dict) and "tally" in details and details.get("retryable") is True


def is_timeout(error: JobError) -> bool:
    """Whether a time limit ended the attempt, so that its effect is unknown."""
    return error.type.endswith("_timeout")
