"""Builds the worker: workflows and agents of one catalogue on one task queue."""

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

# A heartbeat brings the news of a cancellation, and keeps a call from being missed: each comes at most two seconds
# late, so that three in a row may be lost before the shortest usual limit of eight is over.
_BEATS: Final = timedelta(seconds=2)
# How long a workflow task waits for the worker that has its workflow in memory, if that one has died.
_STICKY: Final = timedelta(seconds=5)
# Without one the SDK reads and hashes every imported module at start, for a quarter of a second.
_BUILD: Final = f"orchestrator-{__version__}"


def build_worker(
    client: Client,
    *,
    task_queue: str,
    workflows: Sequence[type],
    activities: Sequence[Callable[..., Any]],
    beside: Worker | None = None,
    interceptors: Sequence[Interceptor] = (),
    concurrent_agents: int = 50,
    drain: float = 5,
) -> Worker:
    """A worker that takes workflow tasks and agent calls. The client carries our plugin, so the worker does too.

    `beside` runs as long as it does. Once told to stop it takes nothing new, and calls have `drain` seconds to end.
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
        # For activities of plugins that are plain functions.
        activity_executor=ThreadPoolExecutor(concurrent_agents, thread_name_prefix="activity"),
        interceptors=list(interceptors),
        plugins=[SimplePlugin("orchestrator.beside", run_context=run_beside)],
        max_cached_workflows=500,
        # Workflow tasks are CPU-bound under the GIL: a few at a time keep a cold start from stalling everything.
        max_concurrent_workflow_tasks=20,
        max_concurrent_activities=concurrent_agents,
        workflow_task_poller_behavior=PollerBehaviorSimpleMaximum(maximum=4),
        activity_task_poller_behavior=PollerBehaviorSimpleMaximum(maximum=4),
        sticky_queue_schedule_to_start_timeout=_STICKY,
        max_heartbeat_throttle_interval=_BEATS,
        default_heartbeat_throttle_interval=_BEATS,
        graceful_shutdown_timeout=timedelta(seconds=drain),
    )


def build_courier(client: Client, *, task_queue: str, deliver: Callable[..., Any]) -> Worker:
    """A worker for webhook deliveries alone: while receivers hang, agent calls still have slots."""
    return Worker(
        client,
        task_queue=names.webhook_queue(task_queue),
        activities=[deliver],
        build_id=_BUILD,
        max_concurrent_activities=200,  # They wait for the network.
        activity_task_poller_behavior=PollerBehaviorSimpleMaximum(maximum=2),
        # What is cut off is attempted again, with the same message id.
        graceful_shutdown_timeout=timedelta(seconds=2),
    )


def build_framework_worker(
    client: Client, *, task_queue: str, run_agent: Callable[..., Any], drain: float = 5
) -> Worker:
    """A worker that takes the agent calls of one framework and no workflow tasks (O-018)."""
    return Worker(
        client,
        task_queue=task_queue,
        activities=[run_agent],
        build_id=_BUILD,
        max_concurrent_activities=20,  # A framework keeps more in memory than a call of a model.
        activity_task_poller_behavior=PollerBehaviorSimpleMaximum(maximum=2),
        max_heartbeat_throttle_interval=_BEATS,
        default_heartbeat_throttle_interval=_BEATS,
        graceful_shutdown_timeout=timedelta(seconds=drain),
    )


def check_in_sandbox(entries: Sequence[CodeWorkflow]) -> None:
    """Load each class as a worker would, before one is started: it would only try again for ever.

    Needs a running event loop. Raises `CatalogueError` with what the sandbox refuses in the class's file.
    """
    runner = sandbox()
    for entry in entries:
        definition = workflow._Definition.must_from_class(entry.workflow)  # noqa: SLF001 - the SDK has no public way
        if not definition.sandboxed:
            continue
        try:
            runner.prepare_workflow(definition)
        except BaseException as error:  # the edge of an author's code: its file is imported, and may even exit
            name = f"{entry.workflow.__module__}.{entry.workflow.__qualname__}"
            fault = f"workflow {entry.definition.id!r}: the sandbox cannot load {name}: {_told(error)}"
            raise CatalogueError(entry.definition.source, fault) from error


def _told(error: BaseException) -> str:
    said = error_message(error)
    return said if isinstance(error, Exception) else f"{error_name(error)}: {said}"
