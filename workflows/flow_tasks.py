"""Waits for several calls of workflow code at once: none is left behind when one fails or enough have succeeded."""

import asyncio
from collections.abc import Mapping
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from workflows.tasks import stop

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain.jobs import JobError


async def outcome(
    calls: Mapping[str, asyncio.Future[Any]], *, enough: int | None = None, tolerant: bool = False
) -> dict[str, JobError]:
    """Wait until all calls have ended, or `enough` have succeeded. Returns the tolerated failures by the call's name.

    Failures of single calls are tolerated if `tolerant`, or while `enough` calls can still succeed. Raises the first
    other one. When it returns or raises, every call has ended: it cancels those that are not needed.
    """
    needed = len(calls) if enough is None else min(enough, len(calls))
    allowed = len(calls) if tolerant and enough is None else len(calls) - needed
    failed: dict[str, BaseException] = {}
    done = 0
    waiting = dict(calls)
    try:
        while waiting and done < needed:
            await workflow.wait(list(waiting.values()), return_when=asyncio.FIRST_COMPLETED)
            for name in [name for name, call in waiting.items() if call.done()]:
                call = waiting.pop(name)
                error = asyncio.CancelledError() if call.cancelled() else call.exception()
                if error is None:
                    done += 1
                    continue
                failed[name] = error
                _check_tolerable(error, tolerable=len(failed) <= allowed)
    except (asyncio.CancelledError, Exception):
        # Not `finally`: a workflow that leaves the worker's cache must not await.
        await stop(list(waiting.values()))
        raise
    await stop(list(waiting.values()))
    return {name: _error_of(error) for name, error in failed.items()}


def _check_tolerable(error: BaseException, *, tolerable: bool) -> None:
    if not tolerable or not isinstance(error, ApplicationError):
        raise error


def _error_of(error: BaseException) -> JobError:
    if isinstance(error, ApplicationError) and error.details and isinstance(error.details[0], JobError):
        return error.details[0]
    return JobError(type=type(error).__name__, message=str(error))
