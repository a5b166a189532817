"""Builds workers: for the workflows and agents of a catalogue, for webhook deliveries, and for a framework."""

from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext
from datetime import timedelta
from typing import Any, Final

from temporalio import workflow
from temporalio.client import Client
from temporalio.plugin import SimplePlugin
from temporalio.worker import Interceptor, PollerBehaviorSimpleMaximum, Worker

from orchestrator import __version__
from orchestrator.domain import names
from orchestrator.domain.catalogue import CodeWorkflow
from orchestrator.domain.errors import CatalogueError
from orchestrator.domain.text import error_message, error_name
from orchestrator.engine.plugin import sandbox

# A call learns of its cancellation with a heartbeat. One is sent at least every two seconds, so that three in a row may
# be lost before the shortest usual timeout, eight seconds.
_BEATS: Final = timedelta(seconds=2)
# How long a workflow task waits for the worker that has its workflow in memory, if that worker is gone.
_STICKY: Final = timedelta(seconds=5)
# Without a build id, the SDK reads and hashes every imported module at start, which takes a quarter of a second.
_BUILD: Final = f"orchestrator-{__version__}"


def build_worker(
    client: Client,
    *,
    task_queue: str,
    workflows: Sequence[type],
    activities: Sequence[Callable[..., Any]],
    beside: Worker | None = None,
    interceptors: Sequence[Interceptor] = (),
    concurrent_calls: int = 100,
    drain: float = 5,
) -> Worker:
    """A worker for workflow tasks and agent calls. It inherits our plugin from the client.

    The worker `beside` runs as long as this one. A worker that stops polls no more, and its calls have `drain` seconds
    to end.
    """

    @asynccontextmanager
    async def run_beside() -> AsyncIterator[None]:
        async with beside or nullcontext():
            yield

    return Worker(
        client,
        task_queue=task_queue,
        workflows=list(workflows),
        activities=list(activities),
        build_id=_BUILD,
        # For activities of plugins that are plain functions, not coroutines.
        activity_executor=ThreadPoolExecutor(concurrent_calls, thread_name_prefix="activity"),
        interceptors=list(interceptors),
        plugins=[SimplePlugin("orchestrator.beside", run_context=run_beside)],
        max_cached_workflows=500,
        # Workflow tasks are CPU-bound under the GIL. This limit keeps a cold start from blocking everything else.
        max_concurrent_workflow_tasks=20,
        max_concurrent_activities=concurrent_calls,
        workflow_task_poller_behavior=PollerBehaviorSimpleMaximum(maximum=4),
        activity_task_poller_behavior=PollerBehaviorSimpleMaximum(maximum=4),
        sticky_queue_schedule_to_start_timeout=_STICKY,
        max_heartbeat_throttle_interval=_BEATS,
        default_heartbeat_throttle_interval=_BEATS,
        graceful_shutdown_timeout=timedelta(seconds=drain),
    )


def build_webhook_worker(client: Client, *, task_queue: str, deliver: Callable[..., Any]) -> Worker:
    """A worker for webhook deliveries only, so that hanging receivers take no slots from agent calls."""
    return Worker(
        client,
        task_queue=names.webhook_queue(task_queue),
        activities=[deliver],
        build_id=_BUILD,
        max_concurrent_activities=200,  # They wait for the network.
        activity_task_poller_behavior=PollerBehaviorSimpleMaximum(maximum=2),
        # An interrupted attempt is repeated with the same message id.
        graceful_shutdown_timeout=timedelta(seconds=2),
    )


def build_framework_worker(
    client: Client, *, task_queue: str, run_agent: Callable[..., Any], drain: float = 5
) -> Worker:
    """A worker for the agent calls of one framework, without workflow tasks (O-018)."""
    return Worker(
        client,
        task_queue=task_queue,
        activities=[run_agent],
        build_id=_BUILD,
        max_concurrent_activities=20,  # A framework needs more memory than a model call.
        activity_task_poller_behavior=PollerBehaviorSimpleMaximum(maximum=2),
        max_heartbeat_throttle_interval=_BEATS,
        default_heartbeat_throttle_interval=_BEATS,
        graceful_shutdown_timeout=timedelta(seconds=drain),
    )


def check_in_sandbox(entries: Sequence[CodeWorkflow]) -> None:
    """Load each class in the sandbox before a worker does, because a worker would retry a failed load for ever.

    Needs a running event loop. Raises `CatalogueError` with the error of the class's module.
    """
    runner = sandbox()
    for entry in entries:
        definition = workflow._Definition.must_from_class(entry.workflow)  # noqa: SLF001 - the SDK has no public way
        if not definition.sandboxed:
            continue
        try:
            runner.prepare_workflow(definition)
        except BaseException as error:  # The edge of author code: the import may raise anything, and even exit.
            name = f"{entry.workflow.__module__}.{entry.workflow.__qualname__}"
            fault = f"workflow {entry.definition.id!r}: the sandbox cannot load {name}: {_describe(error)}"
            raise CatalogueError(entry.definition.source, fault) from error


def _describe(error: BaseException) -> str:
    message = error_message(error)
    return message if isinstance(error, Exception) else f"{error_name(error)}: {message}"
