"""`orchestrator worker`: takes jobs from Temporal, which may come up later."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

import structlog

from orchestrator.commandline.doctor.collisions import refuse_collisions
from orchestrator.commandline.server import process, tasks
from orchestrator.commandline.server.tasks import unless_stopped
from orchestrator.commandline.server.upkeep import keep_going, serve_worker
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
    """Work until told to stop, then finish what is under way. Answers the exit code.

    With a framework, only the calls of its agents, by its adapter (`module:attribute`, or an installed one).
    Raises `Refused`, `Misconfigured`, and `CatalogueError` for a framework without an adapter.
    """
    refuse_collisions()
    if framework is None and adapter is not None:
        raise exits.Refused("--adapter goes with --framework")
    loaded = None if framework is None else load_adapter(framework, adapter)
    catalogue = load_catalogue(settings)
    connecting = partial(connect_worker, settings, catalogue, create_namespace=create_namespace)
    return process.serve(settings, lambda stop: _main(connecting, loaded, stop))


async def _main(
    connecting: Callable[[], Coroutine[Any, Any, Parts]], adapter: FrameworkAdapter | None, stop: asyncio.Event
) -> int:
    parts = await unless_stopped(stop, connecting())
    if parts is None:
        return exits.OK
    make = parts.workers.for_jobs if adapter is None else partial(parts.workers.for_framework, adapter)
    announcing = asyncio.ensure_future(_announce(parts, adapter))
    try:
        drain = parts.settings.worker_drain_seconds
        await keep_going("worker", lambda: serve_worker(make, stop, drain=drain), stop)
    finally:
        await tasks.cancelled(announcing)
        await parts.aclose()
    return exits.OK


async def _announce(parts: Parts, adapter: FrameworkAdapter | None) -> None:
    """Say `ready` once Temporal names this very process among the queue's pollers, and which jobs it cannot serve."""
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
