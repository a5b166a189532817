"""Restarts the parts of a process that end by themselves, with growing pauses."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

import structlog

from orchestrator.commandline.server.tasks import unless_stopped
from orchestrator.domain.backoff import Backoff
from orchestrator.engine.devserver import DevServer

log = structlog.get_logger(__name__)

_BACKOFF: Final = Backoff(0.2, 15.0)
_STEADY: Final = 60.0
_CUT_OFF: Final = 3.0  # Seconds that calls get to end after their cancellation, which follows the time to drain.


class Worker(Protocol):
    """Takes jobs from Temporal until its shutdown."""

    async def run(self) -> None:
        """Take jobs until the shutdown or a fatal error."""

    async def shutdown(self) -> None:
        """Let the running calls end, then end `run`."""


async def run_repeatedly(part: str, run: Callable[[], Coroutine[Any, Any, None]], stop: asyncio.Event) -> None:
    """Run a part again whenever it ends, until `stop` is set. Pauses double up to 15 s; a steady minute resets them."""
    clock = asyncio.get_running_loop().time
    ends = 0  # in a row, without a steady minute
    while not stop.is_set():
        began = clock()
        try:
            await run()
        except Exception as fault:  # the process edge: the part must run again, whatever the error
            log.exception("part_failed", part=part, error=str(fault))
        if stop.is_set():
            return
        ends = 1 if clock() - began > _STEADY else ends + 1
        pause = _BACKOFF.pause(ends)
        log.warning("part_restarts", part=part, seconds=pause)
        await unless_stopped(stop, asyncio.sleep(pause))


async def serve_temporal(server: DevServer) -> None:
    """Run the Temporal server until it ends by itself. Raises `Unavailable` if it does not start."""
    await server.start()
    log.warning("temporal_server_ended", code=await server.wait())


async def serve_worker(new_worker: Callable[[], Worker], stop: asyncio.Event, *, drain: float) -> None:
    """Run a new worker until `stop` is set, then let it finish its calls. Raises the worker's fatal error.

    `drain` is the number of seconds that the worker gives its calls to end.
    """
    worker = new_worker()
    running = asyncio.ensure_future(worker.run())
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            log.info("worker_drains", seconds=drain)
            async with asyncio.timeout(drain + _CUT_OFF):
                await worker.shutdown()
        await running
    except TimeoutError:
        log.warning("worker_left_work_behind", seconds=drain + _CUT_OFF)
        running.cancel()
    finally:
        stopping.cancel()
