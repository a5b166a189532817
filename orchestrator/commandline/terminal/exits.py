"""How a command ends: exit codes, refusals, output that is flushed, and the one way out (architecture, rule 9)."""

import contextlib
import json
import os
import sys
from typing import Any, Final, NoReturn

from orchestrator.commandline.terminal.plain_text import plain

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
KEPT: Final = 3  # All is well, but files that exist were not written.
INTERRUPTED: Final = 130


class Refused(Exception):
    """A command cannot do what was asked; the message says why, `code` is the exit code."""

    def __init__(self, message: str, code: int = USAGE) -> None:
        super().__init__(message)
        self.code = code


def say(line: str) -> None:
    """One line on standard output, at once, also when that is a pipe. A terminal gets nothing that it would obey."""
    sys.stdout.write((plain(line) if sys.stdout.isatty() else line) + "\n")
    sys.stdout.flush()


def say_json(value: Any) -> None:
    """One JSON document on standard output."""
    say(json.dumps(value, indent=2, ensure_ascii=False))


def warn(text: str) -> None:
    """One line on standard error, for people."""
    sys.stderr.write(f"orchestrator: {plain(text)}\n")
    sys.stderr.flush()


def leave(code: int) -> NoReturn:
    """End the process now: the Temporal SDK's threads can abort an interpreter that exits by itself (rule 9)."""
    for stream in (sys.stdout, sys.stderr):
        # A reader that has gone, or a stream that an author's code replaced, must not change the exit code.
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)
