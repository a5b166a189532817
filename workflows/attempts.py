"""Counts the attempts of tool calls before they are cancelled.

If an activity is cancelled between two attempts, Temporal's history does not show that there were any. Until the cancel
reaches Temporal, its description of the run does.
"""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain import names
    from orchestrator.domain.turns import CountedAttempts, CountTask, ToolResult

_COUNT: Final = "orchestrator-count"  # The count that runs, at the run's event loop.


async def counted(call: workflow.ActivityHandle[ToolResult]) -> ToolResult:
    """The result of a tool call. If it is cancelled, its attempts are counted first, and its end is awaited.

    Raises what the call raises.
    """
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError:
        if call.done():
            raise
        if workflow.patched(names.PATCH_ATTEMPTS_COUNTED):
            with suppress(asyncio.CancelledError):  # A second cancel does not wait for the count.
                await asyncio.shield(_count())
        call.cancel()
        return await call


def _count() -> "asyncio.Task[None]":
    """The count of all open tool calls of the run: calls that are cancelled together share it."""
    run = vars(asyncio.get_running_loop())
    count: asyncio.Task[None] | None = run.get(_COUNT)
    if count is None or count.done():
        count = run[_COUNT] = asyncio.create_task(_count_attempts())
    return count


async def _count_attempts() -> None:
    try:
        await workflow.execute_local_activity(
            names.ACTIVITY_COUNT_ATTEMPTS,
            CountTask(job_id=workflow.info().workflow_id),
            result_type=CountedAttempts,
            start_to_close_timeout=timedelta(seconds=3),
            schedule_to_close_timeout=timedelta(seconds=5),
            retry_policy=RetryPolicy(maximum_attempts=2),
        )
    except FailureError as failure:  # a local activity raises its own error, and `ActivityError` only after a timeout
        workflow.logger.warning("attempts_not_counted", extra={"error": str(failure.cause or failure)})
