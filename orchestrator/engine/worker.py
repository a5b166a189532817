"""Builds the worker: workflows and agents of one catalogue on one task queue."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import PollerBehaviorSimpleMaximum, Worker


def build_worker(
    client: Client,
    *,
    task_queue: str,
    workflows: Sequence[type],
    activities: Sequence[Callable[..., Any]],
    concurrent_agents: int = 50,
) -> Worker:
    """A worker that takes workflow tasks and agent calls. The client carries our plugin, so the worker does too."""
    return Worker(
        client,
        task_queue=task_queue,
        workflows=list(workflows),
        activities=list(activities),
        max_cached_workflows=500,
        # Workflow tasks are CPU-bound under the GIL: a few at a time keep a cold start from stalling everything.
        max_concurrent_workflow_tasks=20,
        max_concurrent_activities=concurrent_agents,
        workflow_task_poller_behavior=PollerBehaviorSimpleMaximum(maximum=4),
        activity_task_poller_behavior=PollerBehaviorSimpleMaximum(maximum=4),
        # A heartbeat brings the news of a cancellation: at most two seconds late, whatever the timeout.
        max_heartbeat_throttle_interval=timedelta(seconds=2),
        default_heartbeat_throttle_interval=timedelta(seconds=2),
        graceful_shutdown_timeout=timedelta(seconds=5),
    )
