"""Keeps the parts of a process going: what ends by itself is started again, with growing pauses."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

import structlog

from orchestrator.commandline.server.tasks import unless_stopped
from orchestrator.engine.devserver import DevServer

log = structlog.get_logger(__name__)

_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 15.0
_STEADY: Final = 60.0
_CUT_OFF: Final = 3.0  # Seconds that calls have to end which were told to, once their time to drain is over.


class Worker(Protocol):
    """What takes jobs from Temporal until it is told to stop."""

    async def run(self) -> None:
        """Take jobs until it is shut down or fails."""

    async def shutdown(self) -> None:
        """Let what was taken end, then end `run`."""


async def keep_going(part: str, run: Callable[[], Coroutine[Any, Any, None]], stop: asyncio.Event) -> None:
    """Run a part again whenever it ends, until `stop` is set; pauses double up to 15 s, anew after a steady minute."""
    clock = asyncio.get_running_loop().time
    pause = _FIRST_PAUSE
    while not stop.is_set():
        began = clock()
        try:
            await run()
        except Exception as fault:  # the process edge: whatever ended it, the part is needed again
            log.exception("part_failed", part=part, error=str(fault))
        if stop.is_set():
            return
        pause = _FIRST_PAUSE if clock() - began > _STEADY else pause
        log.warning("part_restarts", part=part, seconds=pause)
        await unless_stopped(stop, asyncio.sleep(pause))
        pause = min(pause * 2, _LONGEST_PAUSE)


async def serve_temporal(server: DevServer) -> None:
    """Have the Temporal server running until it ends by itself. Raises `Unavailable` when it does not start."""
    await server.start()
    log.warning("temporal_server_ended", code=await server.wait())


async def serve_worker(make: Callable[[], Worker], stop: asyncio.Event, *, drain: float) -> None:
    """Run a fresh worker until `stop` is set, then let it finish what it does. Raises the worker's fatal error.

    `drain` is how many seconds the worker itself gives its calls to end.
    """
    worker = make()
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
