"""The one mapping from any error to what Temporal keeps of it, and to what it retries or not (A8, decision 0018)."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from temporalio.exceptions import ApplicationError, FailureError

from orchestrator.domain.errors import AgentError, OrchestratorError, Unavailable
from orchestrator.domain.jobs import JobError
from orchestrator.domain.text import MOST_CAUSES, cause_of, cut, error_message, error_name, name

LONGEST_RETRY_AFTER: Final = 300.0


class BoundedError(ApplicationError):
    """An error whose words and causes are cut: it may be logged, and written into a history."""


def application_error(error: BaseException) -> ApplicationError:
    """The error for Temporal: its type is the stable kind or code, or the class of a foreign exception.

    It is retried only where another attempt can help. A provider's or store's own wish for a delay is honoured up to
    300 seconds. Of this product's own errors nothing but the message enters the history; of a foreign one, its causes
    too. Raise the result from its own `__cause__`.
    """
    return _bounded(error, MOST_CAUSES)


@contextmanager
def told_to_temporal() -> Iterator[None]:
    """Raise this product's errors as Temporal's, so that it retries what another attempt can help."""
    try:
        yield
    except OrchestratorError as error:
        raise application_error(error) from None


def job_error(error: BaseException, *, step: str, agent: str) -> JobError:
    """The error as the attempt log keeps it; foreign exceptions under their class name, as Temporal names them."""
    known = application_error(error)
    kind = known.type or "ApplicationError"
    return JobError(type=kind, message=known.message, step=step, agent=agent, retryable=not known.non_retryable)


def _bounded(error: BaseException, causes: int) -> ApplicationError:
    match error:
        case BoundedError():
            return error
        case OrchestratorError():
            return _own(error)
        case ApplicationError():
            bounded = BoundedError(
                cut(error.message),
                *error.details,
                type=name(error.type) if error.type else None,
                non_retryable=error.non_retryable,
                next_retry_delay=error.next_retry_delay,
                category=error.category,
            )
        case _:
            bounded = BoundedError(error_message(error), type=error_name(error))
    bounded.__traceback__ = error.__traceback__
    bounded.__cause__ = _cause(error, causes)
    return bounded


def _own(error: OrchestratorError) -> BoundedError:
    if isinstance(error, AgentError):
        kind, retryable, wait = error.kind, error.retryable, error.retry_after
    else:
        kind, retryable = error.code, isinstance(error, Unavailable)
        wait = error.retry_after if isinstance(error, Unavailable) else None
    delay = timedelta(seconds=min(wait, LONGEST_RETRY_AFTER)) if retryable and wait is not None and wait >= 0 else None
    return BoundedError(cut(error.message), type=name(kind), non_retryable=not retryable, next_retry_delay=delay)


def _cause(error: BaseException, causes: int) -> BaseException | None:
    cause = cause_of(error)
    if cause is None or causes == 0:
        return None
    # Temporal's own failures (of an activity, a child, a cancellation) keep their kind.
    if isinstance(cause, FailureError) and not isinstance(cause, ApplicationError):
        return cause
    return _bounded(cause, causes - 1)
