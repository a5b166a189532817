"""Exits in workflow code: a `SystemExit` and its like fail the job. Left alone, they leave the worker's event loop."""

import asyncio

from temporalio.exceptions import ApplicationError

from orchestrator.domain.text import error_message, error_name


def is_exit(error: BaseException) -> bool:
    """Whether an author's code raised it to end the program. Temporal ends runs and coroutines in that way, too."""
    return not isinstance(error, Exception | asyncio.CancelledError) and not type(error).__module__.startswith(
        "temporalio."
    )


def exit_error(error: BaseException) -> ApplicationError:
    """The failure of a job whose code exits: the type is the name of the exception."""
    name = error_name(error)
    message = f"The workflow's code raised {name}: {error_message(error)}".removesuffix(": ")
    return ApplicationError(message, type=name, non_retryable=True)
