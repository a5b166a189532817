"""What `orchestrator dev` prints once it serves."""

import gc
import sys

import pytest

from orchestrator.commandline import dev

URL, UI = "http://127.0.0.1:8000", "http://127.0.0.1:8233"


@pytest.mark.parametrize(
    ("key", "terminal", "printed"),
    [
        ("dvr_sk_live_x", True, ["ready", "admin key dvr_sk_live_x"]),  # lines of the start may have scrolled it away
        ("dvr_sk_live_x", False, ["ready"]),  # a file has the first line anyway
        (None, True, ["ready"]),
    ],
)
def test_the_key_stands_beside_the_line_that_says_ready(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    key: str | None,
    terminal: bool,
    printed: list[str],
):
    monkeypatch.setattr(gc, "freeze", lambda: None)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    dev.announce(URL, UI, key)
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == f"ready {URL}  docs {URL}/docs  temporal-ui {UI}"
    assert ["ready", *rest] == printed
