"""Exits in workflow code: a `SystemExit` fails the job. Otherwise it would end the worker's event loop."""

import asyncio

from temporalio.exceptions import ApplicationError

from orchestrator.domain.text import error_message, error_name


def is_exit(error: BaseException) -> bool:
    """Whether an author's code raised the error to end the program. Temporal's own ends of runs are not exits."""
    return not isinstance(error, Exception | asyncio.CancelledError) and not type(error).__module__.startswith(
        "temporalio."
    )


def exit_error(error: BaseException) -> ApplicationError:
    """The failure of a job whose code exits: the type is the name of the exception."""
    name = error_name(error)
    message = f"The workflow's code raised {name}: {error_message(error)}".removesuffix(": ")
    return ApplicationError(message, type=name, non_retryable=True)
