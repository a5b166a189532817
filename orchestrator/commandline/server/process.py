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

# How soon a thread that wants to run Python gets its turn. Between the event loop and the threads of agents calls pass
# to and fro: with Python's own 5 ms, each pass waits as long while the loop is busy.
_SWITCH_SECONDS: Final = 0.001
CLOSE_SECONDS: Final = 5.0
_MOST_FILES: Final = 65_536


def serve(settings: Settings, main: Callable[[asyncio.Event], Coroutine[Any, Any, int]]) -> int:
    """Run a process whose `main` ends soon after the event is set, which Ctrl-C and SIGTERM do.

    A second signal ends the process at once. Answers the exit code. A `BaseException` that leaves the event loop ends
    the process with code 1: without its loop it would poll and serve nothing, and a supervisor would not know.
    """
    _open_files()
    os.umask(0o077)  # What this process and its children write holds jobs and keys.
    logs.configure(settings.log_level, settings.log_format, sys.stderr)
    close_to_others(settings.data_dir)
    for name, meant in misspelt(os.environ).items():
        log.warning("unknown_setting", name=name, advice=f"did you mean {meant}?")
    for name in not_read():
        log.warning("setting_not_read", name=name, file=".env", advice="set it in the environment of the process")
    sys.setswitchinterval(_SWITCH_SECONDS)
    runner = asyncio.Runner(loop_factory=auto_loop_factory())  # uvloop where there is one, for workers too
    try:
        code = runner.run(_with_signals(main))
    except Exception:  # the process edge: `main` has ended, and its caller says why
        _close(runner, FAILED)
        raise
    except BaseException:
        # Not closed: tasks that wait for one another would wait for ever.
        log.critical("event_loop_left", exc_info=True)
        leave(FAILED)
    _close(runner, code)
    return code


def _open_files() -> None:
    """Let this process open as many files as it may: each connection is one, and the usual limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _close(runner: asyncio.Runner, code: int) -> None:
    """Close the event loop. The process leaves with its code if threads and tasks that authors block do not end."""
    leaving = threading.Timer(CLOSE_SECONDS, leave, (code,))
    leaving.daemon = True
    leaving.start()
    runner.close()
    leaving.cancel()


def ready(what: str) -> None:
    """Say that the process is ready.

    What start-up made lives as long as the process: left to the garbage collector, it costs a pause of a quarter of a
    second every hundred jobs or so.
    """
    gc.collect()
    gc.freeze()
    say(f"ready {what}")


async def _with_signals(main: Callable[[asyncio.Event], Coroutine[Any, Any, int]]) -> int:
    stop = asyncio.Event()

    def asked() -> None:
        if stop.is_set():
            leave(INTERRUPTED)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked)
    return await main(stop)
