"""`orchestrator worker`: runs jobs. It waits for Temporal if that is not up yet."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

import structlog

from orchestrator.commandline.doctor.collisions import refuse_collisions
from orchestrator.commandline.server import process, tasks
from orchestrator.commandline.server.restarts import run_repeatedly, serve_worker
from orchestrator.commandline.server.tasks import unless_stopped
from orchestrator.commandline.terminal import exits
from orchestrator.composition.process import Parts, connect_worker, load_catalogue
from orchestrator.domain.errors import Unavailable
from orchestrator.engine.inspection import pollers
from orchestrator.frameworks import FrameworkAdapter
from orchestrator.frameworks.loading import load_adapter
from orchestrator.settings import Settings

log = structlog.get_logger(__name__)

_POLL: Final = 0.2


def run(
    settings: Settings,
    framework: str | None = None,
    adapter: str | None = None,
    *,
    create_namespace: bool = False,
) -> int:
    """Work until a signal stops the process, then finish the running calls. Returns the exit code.

    With a framework, take only the calls of its agents, through its adapter (`module:attribute`, or an installed one).
    Raises `Refused`, `Misconfigured`, and `CatalogueError` for a framework without an adapter.
    """
    refuse_collisions()
    if framework is None and adapter is not None:
        raise exits.Refused("--adapter needs --framework: name the framework that it serves")
    framework_adapter = None if framework is None else load_adapter(framework, adapter)
    catalogue = load_catalogue(settings)
    connect = partial(connect_worker, settings, catalogue, create_namespace=create_namespace)
    return process.serve(settings, lambda stop: _main(connect, framework_adapter, stop))


async def _main(
    connect: Callable[[], Coroutine[Any, Any, Parts]], adapter: FrameworkAdapter | None, stop: asyncio.Event
) -> int:
    parts = await unless_stopped(stop, connect())
    if parts is None:
        return exits.OK
    new_worker = parts.workers.for_jobs if adapter is None else partial(parts.workers.for_framework, adapter)
    announcing = asyncio.ensure_future(_announce(parts, adapter))
    try:
        drain = parts.settings.worker_drain_seconds
        await run_repeatedly("worker", lambda: serve_worker(new_worker, stop, drain=drain), stop)
    finally:
        await tasks.cancelled(announcing)
        await parts.aclose()
    return exits.OK


async def _announce(parts: Parts, adapter: FrameworkAdapter | None) -> None:
    """Print `ready` once Temporal lists this process as a poller of its queue; log the jobs that it cannot serve."""
    queue = parts.settings.task_queue if adapter is None else parts.backend.gateway.framework_queue(adapter.name)
    while True:
        try:
            if parts.backend.client.identity in await pollers(
                parts.backend.client, queue, activities=adapter is not None
            ):
                break
        except Unavailable as fault:
            log.warning("waiting", fault=fault.for_operators)
        await asyncio.sleep(_POLL)
    process.ready(f"{parts.backend.client.identity} polls {queue}")
    await parts.report_unserved(None if adapter is None else queue)
    await parts.workers.opened()
