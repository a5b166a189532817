"""The client for threads is made from that for asyncio, and is what is committed."""

import runpy
from pathlib import Path

from tests.sdks.runners import SDKS

SCRIPT = SDKS / "python" / "make_sync.py"


def test_the_committed_client_is_the_made_one(tmp_path: Path) -> None:
    script = runpy.run_path(str(SCRIPT))
    script["make"](tmp_path)
    made = {path.name: path.read_text() for path in tmp_path.glob("*.py")}
    committed = {
        path.name: path.read_text()
        for path in (script["PACKAGE"] / "_sync").glob("*.py")
        if path.name not in script["BY_HAND"]
    }
    assert made == committed, "make it again: .venv/bin/python sdks/python/make_sync.py"
    assert not [
        name for name, text in made.items() if "async" in text.lower().replace("async_mode", "").replace('"async"', "")
    ]
