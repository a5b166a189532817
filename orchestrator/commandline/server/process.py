"""Runs a long-lived command: logging, signals, event loop."""

import asyncio
import gc
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog
from uvicorn.loops.auto import auto_loop_factory

from orchestrator import logs
from orchestrator.commandline.terminal.exits import FAILED, INTERRUPTED, leave, say
from orchestrator.security.data_files import close_to_others
from orchestrator.settings import Settings
from orchestrator.settings.misspellings import misspelt, not_read

log = structlog.get_logger(__name__)

# Seconds until a waiting thread may run Python. Calls go back and forth between the event loop and agents' threads.
# With Python's default of 5 ms, each of these switches waits that long while the loop is busy.
_SWITCH_SECONDS: Final = 0.001
CLOSE_SECONDS: Final = 5.0
_MAX_FILES: Final = 65_536


def serve(settings: Settings, main: Callable[[asyncio.Event], Coroutine[Any, Any, int]]) -> int:
    """Run `main` in an event loop, as `run` does, after `prepared`. Returns the exit code."""
    return run(prepared(settings), main)


def prepared(settings: Settings) -> asyncio.Runner:
    """Prepare the process: log lines, limits, rights of files. Returns what runs its event loop."""
    _open_files()
    os.umask(0o077)  # The files of this process and its children contain jobs and keys.
    logs.configure(settings.log_level, settings.log_format, sys.stderr)
    close_to_others(settings.data_dir)
    for name, meant in misspelt(os.environ).items():
        log.warning("unknown_setting", name=name, advice=f"did you mean {meant}?")
    for name in not_read():
        log.warning("setting_not_read", name=name, file=".env", advice="set it in the environment of the process")
    sys.setswitchinterval(_SWITCH_SECONDS)
    return asyncio.Runner(loop_factory=auto_loop_factory())  # uvloop if it is installed, for workers too


def run(runner: asyncio.Runner, main: Callable[[asyncio.Event], Coroutine[Any, Any, int]]) -> int:
    """Run `main` in the event loop. Ctrl-C and SIGTERM set its event; `main` must then end soon. Returns the exit code.

    A second signal ends the process at once. A `BaseException` that leaves the event loop ends the process with code 1:
    without its loop the process would serve nothing, and its supervisor would not notice.
    """
    try:
        code = runner.run(_with_signals(main))
    except Exception:  # the process edge: `main` has ended; the caller reports the error
        _close(runner, FAILED)
        raise
    except BaseException:
        # The loop is not closed: tasks that wait for each other would wait for ever.
        log.critical("event_loop_left", exc_info=True)
        leave(FAILED)
    _close(runner, code)
    return code


def _open_files() -> None:
    """Raise the limit of open files to its maximum: each connection takes one, and the usual limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = _MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def _close(runner: asyncio.Runner, code: int) -> None:
    """Close the event loop. If blocked threads or tasks of author code do not end in time, end the process."""
    watchdog = threading.Timer(CLOSE_SECONDS, leave, (code,))
    watchdog.daemon = True
    watchdog.start()
    runner.close()
    watchdog.cancel()


def ready(text: str) -> None:
    """Print that the process is ready."""
    # The objects of start-up live as long as the process. If the garbage collector kept visiting them, each full
    # collection, about every hundred jobs, would pause the process for a quarter of a second.
    gc.collect()
    gc.freeze()
    say(f"ready {text}")


async def _with_signals(main: Callable[[asyncio.Event], Coroutine[Any, Any, int]]) -> int:
    stop = asyncio.Event()

    def request_stop() -> None:
        if stop.is_set():
            leave(INTERRUPTED)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, request_stop)
    return await main(stop)
