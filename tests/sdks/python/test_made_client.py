"""The client for threads is made from that for asyncio, and is what is committed."""

import runpy
from pathlib import Path

import pytest

from tests.sdks.runners import SDKS

SCRIPT = runpy.run_path(str(SDKS / "python" / "make_sync.py"))


@pytest.mark.parametrize("package", SCRIPT["PACKAGES"], ids=lambda package: package.name)
def test_the_committed_client_is_the_made_one(package: Path, tmp_path: Path) -> None:
    SCRIPT["make"](package, tmp_path)
    made = {path.name: path.read_text() for path in tmp_path.glob("*.py")}
    by_hand = SCRIPT["BY_HAND"]
    committed = {path.name: path.read_text() for path in (package / "_sync").glob("*.py") if path.name not in by_hand}
    assert made == committed, "make it again: .venv/bin/python sdks/python/make_sync.py"


def test_what_is_made_waits_for_nothing() -> None:
    text = "async def f() -> Awaitable[int]:\n    async with g() as h:\n        await h.aclose()\n"
    assert SCRIPT["to_sync"](text) == "def f() -> int:\n    with g() as h:\n        h.close()\n"
