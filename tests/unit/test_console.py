"""What the commands write for people: nothing of it may end a command with a traceback."""

import io
import sys

import pytest

from orchestrator.commandline.terminal import exits
from orchestrator.commandline.terminal.console import Output


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


@pytest.mark.parametrize("terminal", [True, False])
def test_only_a_pipe_is_given_what_a_terminal_would_obey(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(out, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    exits.say("a\x1b[2Jb\u202ec")
    exits.warn("a\x1b[2Jb\u202ec")
    assert out.getvalue() == ("a\ufffd[2Jb\ufffdc\n" if terminal else "a\x1b[2Jb\u202ec\n")
    assert err.getvalue() == "orchestrator: a\ufffd[2Jb\ufffdc\n"
