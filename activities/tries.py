"""Separates an agent's attempts from tries that a worker's death or stop ended (decision 0019).

Temporal counts all tries alike and does not limit them here. The tally, passed on in heartbeats, counts each kind.
"""

import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from temporalio import activity
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from orchestrator.domain.backoff import jittered
from orchestrator.domain.jobs import JobError
from orchestrator.domain.plans import RetryPolicy
from orchestrator.domain.tally import (
    HELD_LIMIT,
    LOST_LIMIT,
    STOPPED_LIMIT,
    TOKENS_HELD,
    UNKEPT_LIMIT,
    UNKNOWN_AGENT,
    WAITED,
    WORKER_LOST,
    WORKER_SHUTDOWN,
    WORKER_STOPPED,
    WORKER_SUSPECT,
    Tally,
    end_of,
)
from orchestrator.projection.failures import error_of

LastError = Callable[[], Awaitable[JobError | None]]

# Error types of this module. An author's error of such a type gets another type, to avoid confusion.
_OWN_TYPES: Final = WAITED | {WORKER_LOST, WORKER_SHUTDOWN, WORKER_STOPPED}
TIMED_OUT: Final = "start_to_close_timeout"
_QUICK: Final = timedelta(seconds=3)
_TURN: Final = timedelta(seconds=3)
_TOKEN_JITTER: Final = 0.2


async def last_error() -> JobError | None:
    """The error of the try before this one, as Temporal reports it."""
    id = activity.info().activity_id
    for pending in await pending_activities():
        if pending.activity_id == id and pending.HasField("last_failure"):
            return error_of(pending.last_failure)
    return None


async def pending_activities() -> Iterable[PendingActivityInfo]:
    """The open activities of this activity's workflow run. Raises `temporalio.service.RPCError`."""
    info = activity.info()
    handle = activity.client().get_workflow_handle(info.workflow_id or "", run_id=info.workflow_run_id)
    return (await handle.describe(rpc_timeout=_QUICK)).raw_description.pending_activities


async def tally_of(info: activity.Info, before: Tally, ask: LastError) -> Tally:
    """The tally of the call's earlier tries. `before` counts those of an earlier schedule of the same call.

    Asks Temporal only if one of them ended without a tally.
    """
    if info.is_local:  # Its tries end with their worker, and start again on the next one.
        return Tally(tries=info.attempt - 1, attempts=info.attempt - 1, failures=info.attempt - 1)
    reported = next((tally for details in info.heartbeat_details if (tally := Tally.of(details))), None)
    tally = reported or before
    error = await ask() if tally.missing(info.attempt) else None
    return tally.before(info.attempt, error.type if error else None)


def tally_in(error: ApplicationError) -> Tally | None:
    """The tally in an error of this module."""
    return next((tally for details in reversed(error.details) if (tally := Tally.of(details))), None)


def unknown_agent(agent: str, worker: str, tally: Tally, *, local: bool, hint: str = "") -> ApplicationError:
    """The call waits for a worker that knows the agent: another one, or this one after an upgrade.

    A local call runs only on its workflow's worker, so the workflow makes it again as a call for any worker.
    """
    return ApplicationError(
        f"Worker {worker} does not know agent {agent}; the call waits for a worker whose plugins have it{hint or '.'}",
        {"tally": tally.after("waited").model_dump()},
        type=UNKNOWN_AGENT,
        non_retryable=local,
        next_retry_delay=None if local else timedelta(seconds=tally.wait),
        category=ApplicationErrorCategory.BENIGN,
    )


def refuse_after_lost_workers(agent: str, tally: Tally) -> None:
    """Raises `ApplicationError` of type `worker_lost` or `worker_stopped` if too many workers died or stopped during
    the call."""
    if tally.lost >= LOST_LIMIT:
        raise ApplicationError(
            f"The worker process died or hung {tally.lost} times while it ran {agent}; the call is not made again.",
            {"tally": tally.model_dump()},
            type=WORKER_LOST,
            non_retryable=True,
        )
    if tally.stopped >= STOPPED_LIMIT:
        raise ApplicationError(
            f"The worker stopped {tally.stopped} times in a row while it ran {agent}; the call is not made "
            "again. Check whether the agent's code sends a signal to its own process.",
            {"tally": tally.model_dump()},
            type=WORKER_STOPPED,
            non_retryable=True,
        )


def refuse_after_time(what: str, tally: Tally, retry: RetryPolicy, notes: Mapping[str, Any] | None = None) -> None:
    """Raises `ApplicationError` of type `start_to_close_timeout` if Temporal itself ended the last allowed attempt.

    An attempt that ends by itself knows that it was the last one, see `bounded`. One that Temporal ends, because its
    worker did not notice the limit in time, says nothing.
    """
    if tally.failures >= retry.maximum_attempts:
        raise ApplicationError(
            f"{what} ran into its time limit; it had {tally.attempts} attempt{'s' * (tally.attempts != 1)}.",
            {"tally": tally.model_dump(), "retryable": True, **(notes or {})},
            type=TIMED_OUT,
            non_retryable=True,
        )


def suspected(agent: str, tally: Tally) -> ApplicationError:
    """The call waits: several workers died during it, and another such call runs on this worker. They run one at a
    time, to find the call that ends its process."""
    return ApplicationError(
        f"{tally.lost} workers died while they ran {agent} beside other calls; it waits to run apart from those.",
        {"tally": tally.after("waited").model_dump()},
        type=WORKER_SUSPECT,
        next_retry_delay=_TURN,
        category=ApplicationErrorCategory.BENIGN,
    )


def tokens_held(why: str, tally: Tally, at: datetime) -> ApplicationError:
    """The call waits for tokens that other calls hold, and frees its slot in the worker."""
    waits = tally.waits_for_tokens(at)
    delay = jittered(waits.token_wait(at), _TOKEN_JITTER, random.uniform)
    return ApplicationError(
        why,
        {"tally": waits.after("waited").model_dump()},
        type=TOKENS_HELD,
        next_retry_delay=timedelta(seconds=delay),
        category=ApplicationErrorCategory.BENIGN,
    )


def stopped(tally: Tally) -> ApplicationError:
    """A stopping worker ended the call. That is not a failure of the agent."""
    after = tally.after("stopped")
    return ApplicationError(
        "The worker shut down during the call.",
        {"tally": after.model_dump()},
        type=WORKER_SHUTDOWN,
        next_retry_delay=timedelta(seconds=after.stopped_wait),
        category=ApplicationErrorCategory.BENIGN,
    )


def bounded(
    error: ApplicationError, tally: Tally, retry: RetryPolicy, notes: Mapping[str, Any] | None = None
) -> ApplicationError:
    """The error of an attempt. It is final after the agent's last attempt, or the last one for an absent store.

    A final error has `notes` in its details.
    """
    end = end_of(error.type or "")
    after = tally.after(end)
    details: dict[str, Any] = {"tally": after.model_dump(), "retryable": not error.non_retryable}
    unkept = end == "unkept"
    used_up = {
        "unkept": after.unkept >= UNKEPT_LIMIT,
        "held": after.attempts >= HELD_LIMIT,
    }.get(end, after.failures >= retry.maximum_attempts)
    if error.non_retryable or used_up:
        details |= notes or {}
    requested = timedelta(seconds=tally.unkept_wait) if unkept else error.next_retry_delay
    delay = timedelta(seconds=retry.pause(after.failures)) if requested is None else requested
    bounded = ApplicationError(
        error.message,
        *error.details,
        details,
        type=f"agent_{error.type}" if error.type in _OWN_TYPES else error.type,
        non_retryable=error.non_retryable or used_up,
        next_retry_delay=None if error.non_retryable or used_up else delay,
        category=error.category,
    )
    bounded.__cause__ = error.__cause__
    return bounded.with_traceback(error.__traceback__)
