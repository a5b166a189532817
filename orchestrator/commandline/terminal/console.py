"""Standard output for people, with colours and progress bars on a terminal."""

import io
import sys

from rich.console import Console


class Output(Console):
    """Standard output. Characters that its encoding lacks become escapes; a closed pipe raises `BrokenPipeError`."""

    def __init__(self) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        super().__init__()

    def on_broken_pipe(self) -> None:
        """Raise instead of exiting, as rich would: the command decides how the process ends."""
        raise BrokenPipeError
