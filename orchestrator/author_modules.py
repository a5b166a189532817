"""Imports modules of authors, and protects the process from their top-level code."""

import contextlib
import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

from orchestrator.domain.errors import CatalogueError
from orchestrator.domain.text import error_message, error_name

_PACKAGE: Final = Path(__file__).parent
# The process handles these signals itself. A module may set handlers for others, such as SIGUSR1.
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD)


def import_module(name: str) -> ModuleType:
    """Import a module. Raises `CatalogueError` for a `BaseException` such as `SystemExit`, and every `Exception` as is.

    Its prints go to standard error. Working directory and signal handlers of the process are restored.
    """
    try:
        with _undisturbed():
            return importlib.import_module(name)
    except Exception:
        raise
    except BaseException as error:  # the edge of author code, which may call `sys.exit`
        raise CatalogueError(name, import_fault(error)) from error


def import_fault(error: BaseException) -> str:
    """The message for an exception of an author's top-level code."""
    frames = traceback.extract_tb(error.__traceback__)
    modules = [frame for frame in frames if frame.name == "<module>"]
    # An exit is reported at the line of the module, not inside `argparse` or `site`, which raise it; and a mistake in a
    # definition where the author makes it, not inside the class that refuses it.
    theirs = [frame for frame in frames if not _is_ours(frame.filename)] or frames
    place = theirs[-1] if isinstance(error, Exception) or not modules else modules[-1]
    text = f"{error_name(error)}: {error_message(error)}".removesuffix(": ")
    return f"cannot be imported: {text} ({place.filename}, line {place.lineno})"


def _is_ours(file: str) -> bool:
    """Whether a file of a traceback is the engine's, or the generated `__init__` of a dataclass."""
    return file == "<string>" or Path(file).is_relative_to(_PACKAGE)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    folder = os.getcwd()
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.chdir(folder)
        if threading.current_thread() is threading.main_thread():  # Only the main thread can set handlers.
            for number, handler in handlers.items():
                if handler is not None and signal.getsignal(number) is not handler:
                    signal.signal(number, handler)
