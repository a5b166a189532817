"""Makes the client for threads, `devora/_sync`, from the one for asyncio, `devora/_async`.

    python sdks/python/make_sync.py

Both are committed; a test compares them. Retries, deadlines, streams and calls are so written once.
"""

import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent / "devora" / "src" / "devora"
BY_HAND = {"__init__.py", "runtime.py"}
WORDS = {
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
_WORD = re.compile(r"\b(" + "|".join(WORDS) + r")\b")


def to_sync(text: str) -> str:
    """The same for threads."""
    text = _AWAITABLE.sub(r"\1", text).replace("AsyncIterator, Awaitable, Callable", "AsyncIterator, Callable")
    text = _GENERATOR.sub(r"Generator[\1, None, None]", text)
    text = _CLASS.sub("", _SYNTAX.sub("", text))
    return _WORD.sub(lambda match: WORDS[match[1]], text)


def made() -> dict[Path, str]:
    """The text of every file that is made."""
    sources = sorted((PACKAGE / "_async").glob("*.py"))
    return {PACKAGE / "_sync" / path.name: to_sync(path.read_text()) for path in sources if path.name not in BY_HAND}


if __name__ == "__main__":
    for path, text in made().items():
        path.write_text(text)
    sys.stdout.write(f"made {len(made())} files\n")
