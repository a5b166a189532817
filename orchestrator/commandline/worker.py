"""`orchestrator worker`: takes jobs from Temporal, which may come up later."""

import asyncio
from typing import Final

import structlog

from orchestrator.bootstrap import Parts, connect_worker
from orchestrator.commandline import exits, process, tasks
from orchestrator.commandline.collisions import refuse_collisions
from orchestrator.commandline.tasks import unless_stopped
from orchestrator.commandline.upkeep import keep_going, serve_worker
from orchestrator.domain.errors import Unavailable
from orchestrator.engine.inspection import pollers
from orchestrator.settings import Settings

log = structlog.get_logger(__name__)

_POLL: Final = 0.2


def run(settings: Settings) -> int:
    """Work until told to stop, then finish what is under way. Answers the exit code; raises `Refused`."""
    refuse_collisions()
    return process.serve(settings, lambda stop: _main(settings, stop))


async def _main(settings: Settings, stop: asyncio.Event) -> int:
    parts = await unless_stopped(stop, connect_worker(settings))
    if parts is None:
        return exits.OK
    announcing = asyncio.ensure_future(_announce(parts))
    try:
        await keep_going("worker", lambda: serve_worker(parts.worker, stop), stop)
    finally:
        await tasks.cancelled(announcing)
        await parts.aclose()
    return exits.OK


async def _announce(parts: Parts) -> None:
    """Say `ready` once Temporal names this very process among the queue's pollers."""
    queue = parts.settings.task_queue
    while True:
        try:
            if parts.client.identity in await pollers(parts.client, queue):
                break
        except Unavailable as fault:
            log.warning("waiting", fault=fault.message)
        await asyncio.sleep(_POLL)
    process.ready(f"{parts.client.identity} polls {queue}")
