"""The one mapping from this product's errors to what Temporal retries or not (A8)."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from temporalio.exceptions import ApplicationError

from orchestrator.domain.errors import AgentError, OrchestratorError, Unavailable
from orchestrator.domain.jobs import JobError

LONGEST_RETRY_AFTER: Final = 300.0
_MESSAGE_LIMIT: Final = 300


def application_error(error: Exception) -> ApplicationError:
    """The error for Temporal: `type` is the stable kind or code, retried only where another attempt can help.

    A provider's or store's own wish for a delay is honoured up to 300 seconds. Raise the result `from None`, so that
    nothing but its message enters the history. A foreign exception goes by the name of its class.
    """
    if isinstance(error, ApplicationError):
        return error
    if not isinstance(error, OrchestratorError):
        return ApplicationError(str(error), type=type(error).__name__)
    if isinstance(error, AgentError):
        kind, retryable, wait = error.kind, error.retryable, error.retry_after
    else:
        kind, retryable = error.code, isinstance(error, Unavailable)
        wait = error.retry_after if isinstance(error, Unavailable) else None
    delay = timedelta(seconds=min(wait, LONGEST_RETRY_AFTER)) if retryable and wait is not None else None
    return ApplicationError(error.message, type=kind, non_retryable=not retryable, next_retry_delay=delay)


@contextmanager
def told_to_temporal() -> Iterator[None]:
    """Raise this product's errors as Temporal's, so that it retries what another attempt can help."""
    try:
        yield
    except OrchestratorError as error:
        raise application_error(error) from None


def job_error(error: BaseException, *, step: str, agent: str) -> JobError:
    """The error as the attempt log keeps it; foreign exceptions under their class name, as Temporal names them."""
    if isinstance(error, OrchestratorError):
        error = application_error(error)
    if isinstance(error, ApplicationError):
        kind, message, retryable = error.type or "ApplicationError", error.message, not error.non_retryable
    else:
        kind, message, retryable = type(error).__name__, str(error), True
    return JobError(type=kind, message=message[:_MESSAGE_LIMIT], step=step, agent=agent, retryable=retryable)
