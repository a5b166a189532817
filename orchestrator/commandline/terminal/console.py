"""Standard output for people, with colours and bars where it is a terminal."""

import io
import sys

from rich.console import Console


class Output(Console):
    """Standard output. A character that its encoding lacks is shown as an escape; a reader that left is an error."""

    def __init__(self) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        super().__init__()

    def on_broken_pipe(self) -> None:
        """Let the command end: rich would end the process by itself."""
        raise BrokenPipeError
