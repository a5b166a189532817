"""Maps every error to a Temporal failure, retryable or not (A8, decision 0018)."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from temporalio.exceptions import ApplicationError, FailureError

from orchestrator.domain.errors import AgentError, OrchestratorError, Unavailable
from orchestrator.domain.jobs import JobError
from orchestrator.domain.text import MAX_CAUSES, cause_of, cut, error_message, error_name, name

MAX_RETRY_AFTER: Final = 300.0


class BoundedError(ApplicationError):
    """An error with a bounded message and bounded causes: safe for logs and histories."""


def application_error(error: BaseException) -> ApplicationError:
    """The error for Temporal: its type is the stable kind or code, or the class of a foreign exception.

    It is retryable only if another attempt can help. A delay that a provider or store requests applies up to 300
    seconds. For the product's errors, only the message enters the history; for foreign ones, also their causes. Raise
    the result from its own `__cause__`.
    """
    return _bounded(error, MAX_CAUSES)


@contextmanager
def temporal_errors() -> Iterator[None]:
    """Raise the product's errors as Temporal's, so that Temporal retries the retryable ones."""
    try:
        yield
    except OrchestratorError as error:
        raise application_error(error) from None


def job_error(error: BaseException, *, step: str, agent: str) -> JobError:
    """The error for the attempt log; its type is the class name of a foreign exception, as in Temporal."""
    mapped = application_error(error)
    kind = mapped.type or "ApplicationError"
    return JobError(type=kind, message=mapped.message, step=step, agent=agent, retryable=not mapped.non_retryable)


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
    delay = timedelta(seconds=min(wait, MAX_RETRY_AFTER)) if retryable and wait is not None and wait >= 0 else None
    return BoundedError(cut(error.message), type=name(kind), non_retryable=not retryable, next_retry_delay=delay)


def _cause(error: BaseException, causes: int) -> BaseException | None:
    cause = cause_of(error)
    if cause is None or causes == 0:
        return None
    # Temporal's own failures (of an activity, a child, a cancellation) keep their kind.
    if isinstance(cause, FailureError) and not isinstance(cause, ApplicationError):
        return cause
    return _bounded(cause, causes - 1)
