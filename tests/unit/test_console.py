"""What the commands write for people: nothing of it may end a command with a traceback."""

import io
import sys

import pytest

from orchestrator.commandline.console import Output


class Gone(io.TextIOWrapper):
    """A pipe whose reader has gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_character_that_the_encoding_lacks_is_shown_as_an_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    Output().print("done ✓")
    sys.stdout.flush()
    assert written.getvalue() == b"done \\u2713\n"


def test_a_reader_that_has_gone_is_an_error_that_the_command_line_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Gone(io.BytesIO()))
    with pytest.raises(BrokenPipeError):
        Output().print("done")
