"""How a command ends: exit codes, errors for the user, flushed output, and the only way to end the process."""

import contextlib
import json
import os
import sys
from typing import Any, Final, NoReturn

from orchestrator.commandline.terminal.plain_text import plain

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
KEPT: Final = 3  # The job completed, but files that existed were not replaced.
INTERRUPTED: Final = 130


class Refused(Exception):
    """A command cannot do its work. The message is for the user; `code` is the exit code."""

    def __init__(self, message: str, code: int = USAGE) -> None:
        super().__init__(message)
        self.code = code


def say(line: str) -> None:
    """Print a line to standard output and flush it. On a terminal, control characters are replaced."""
    sys.stdout.write((plain(line) if sys.stdout.isatty() else line) + "\n")
    sys.stdout.flush()


def say_json(value: Any) -> None:
    """Print a JSON document to standard output."""
    say(json.dumps(value, indent=2, ensure_ascii=False))


def warn(text: str) -> None:
    """Print a line to standard error, without control characters."""
    sys.stderr.write(f"orchestrator: {plain(text)}\n")
    sys.stderr.flush()


def leave(code: int) -> NoReturn:
    """End the process now. The Temporal SDK's threads can abort an interpreter that exits normally (rule 9)."""
    for stream in (sys.stdout, sys.stderr):
        # A reader that has closed the pipe, or a stream that an author's code replaced, must not change the exit code.
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)
