"""Generates the clients for threads, `_sync`, from those for asyncio, `_async`.

    python sdks/python/make_sync.py

Both are committed; a test compares them. So retries, deadlines, streams and calls are written once.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = [ROOT / "sdks/python/devora/src/devora", ROOT / "sdks/python/devskyy-client/src/devskyy_client"]
BY_HAND = {"__init__.py", "runtime.py"}
REPLACEMENTS = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "aclose": "close",
    "aclosing": "closing",
    "aiter_bytes": "iter_bytes",
    "aread": "read",
    "asynccontextmanager": "contextmanager",
    "_async": "_sync",
}
_SYNTAX = re.compile(r"\basync (?=def|with|for)|\bawait ")
_AWAITABLE = re.compile(r"\bAwaitable\[([^][]*)\]")
_GENERATOR = re.compile(r"\bAsyncGenerator\[(\w+)\]")
_CLASS = re.compile(r"\bAsync(?=[A-Z])")
_WORD = re.compile(r"\b(" + "|".join(REPLACEMENTS) + r")\b")


def to_sync(text: str) -> str:
    """Return the code for threads."""
    text = _AWAITABLE.sub(r"\1", text).replace("AsyncIterator, Awaitable, Callable", "AsyncIterator, Callable")
    text = _GENERATOR.sub(r"Generator[\1, None, None]", text)
    text = _CLASS.sub("", _SYNTAX.sub("", text))
    return _WORD.sub(lambda match: REPLACEMENTS[match[1]], text)


def make(package: Path, folder: Path) -> None:
    """Write every generated file of a package into a folder, formatted."""
    for source in sorted((package / "_async").glob("*.py")):
        if source.name not in BY_HAND:
            (folder / source.name).write_text(to_sync(source.read_text()))
    ruff = [sys.executable, "-m", "ruff"]
    settings = ["--config", str(ROOT / "pyproject.toml"), "--quiet", str(folder)]
    subprocess.run([*ruff, "check", "--select", "I", "--fix", *settings], check=True)
    subprocess.run([*ruff, "format", *settings], check=True)


if __name__ == "__main__":
    for package in PACKAGES:
        make(package, package / "_sync")
