"""Imports modules of authors: what happens at their top level ends neither the process nor what it depends on."""

import contextlib
import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from types import ModuleType
from typing import Final

from orchestrator.domain.errors import CatalogueError
from orchestrator.domain.text import error_message, error_name

# The process needs its own answer to these. A module may set others, such as SIGUSR1.
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD)


def import_module(name: str) -> ModuleType:
    """The module. Raises `CatalogueError` for a `BaseException` such as `SystemExit`; lets every `Exception` through.

    Prints go to standard error. The working directory and the signal handlers of the process stay as they were.
    """
    try:
        with _undisturbed():
            return importlib.import_module(name)
    except Exception:
        raise
    except BaseException as error:  # the edge to an author's code, which may end the program
        raise CatalogueError(name, import_fault(error)) from error


def import_fault(error: BaseException) -> str:
    """What an operator reads of an exception that an author's top-level code raised."""
    frames = traceback.extract_tb(error.__traceback__)
    modules = [frame for frame in frames if frame.name == "<module>"]
    # An exit comes from the module that asks for it, not from `argparse` or `site`, which do it.
    place = frames[-1] if isinstance(error, Exception) or not modules else modules[-1]
    told = f"{error_name(error)}: {error_message(error)}".removesuffix(": ")
    return f"cannot be imported: {told} ({place.filename}, line {place.lineno})"


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    folder = os.getcwd()
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.chdir(folder)
        if threading.current_thread() is threading.main_thread():  # Elsewhere a module cannot have changed them.
            for number, handler in handlers.items():
                if handler is not None and signal.getsignal(number) is not handler:
                    signal.signal(number, handler)
