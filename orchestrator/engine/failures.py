"""Converts exceptions into Temporal's failures like the SDK, but of bounded size (decision 0018)."""

from collections.abc import Sequence
from typing import Any, Final

from temporalio.api.failure.v1 import Failure
from temporalio.converter import DefaultFailureConverter, PayloadConverter
from temporalio.exceptions import ApplicationError, FailureError

from activities.errors import BoundedError, application_error
from orchestrator.domain.text import MAX_CAUSES, cut, error_message, error_name, name
from orchestrator.domain.values import INLINE_BYTES

STACK_LIMIT: Final = 4000
_DETAILS_BYTES: Final = INLINE_BYTES


class BoundedFailureConverter(DefaultFailureConverter):
    """Converts every exception of a worker, also of an agent, a workflow in code, an adapter or the SDK.

    It cuts the texts, so that no message is too large for Temporal.
    """

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        """Fill a failure from an exception. Never raises, even if code of the exception does."""
        foreign = isinstance(exception, ApplicationError) or not isinstance(exception, FailureError)
        try:
            converted = application_error(exception) if foreign else exception
            super().to_failure(_with_small_details(converted, payload_converter), payload_converter, failure)
        except Exception:  # noqa: BLE001 - the edge of author code: details, traces and causes can be anything
            failure.Clear()
            bounded_error = BoundedError(error_message(exception), type=error_name(exception))
            super().to_failure(bounded_error, payload_converter, failure)
        _bound(failure, MAX_CAUSES)


def _with_small_details(error: BaseException, payload_converter: PayloadConverter) -> BaseException:
    """The error, without its details if they are too large or cannot be serialized."""
    if not isinstance(error, BoundedError) or not error.details or _fit(error.details, payload_converter):
        return error
    small_error = BoundedError(
        error.message,
        type=error.type,
        non_retryable=error.non_retryable,
        next_retry_delay=error.next_retry_delay,
        category=error.category,
    )
    small_error.__traceback__, small_error.__cause__ = error.__traceback__, error.__cause__
    return small_error


def _fit(details: Sequence[Any], payload_converter: PayloadConverter) -> bool:
    try:
        return payload_converter.to_payloads_wrapper(details).ByteSize() <= _DETAILS_BYTES
    except Exception:  # noqa: BLE001 - the edge of author code: details that cannot be serialized are left out
        return False


def _bound(failure: Failure, causes: int) -> None:
    """Cut the texts of a failure and of its causes, which may come from another worker."""
    failure.message = cut(failure.message)
    if len(failure.stack_trace) > STACK_LIMIT:  # The end is the innermost frame.
        failure.stack_trace = "…\n" + failure.stack_trace[-STACK_LIMIT:]
    if failure.HasField("application_failure_info"):
        info = failure.application_failure_info
        info.type = name(info.type)
        if info.details.ByteSize() > _DETAILS_BYTES:
            info.ClearField("details")
    if failure.HasField("cause"):
        if causes == 0:
            failure.ClearField("cause")
        else:
            _bound(failure.cause, causes - 1)
