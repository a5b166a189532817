"""The shell commands that the pages print, for the tests that run them.

A block is run by `tests/e2e/test_first_minutes.py` unless a comment in the line above it says otherwise:
`<!-- not run: REASON -->`, or `<!-- run by TEST -->`.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

_BLOCK = re.compile(r"(?:^<!-- ([^\n]*) -->\n)?^```(sh|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROMPTED = re.compile(r"^\$ (.*?(?<!\\)\n)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """`script` for a shell; `output` is what the page prints after it; `mark` is the comment before it."""

    script: str
    output: str
    mark: str


def pages() -> list[Path]:
    """Every page with a shell command in it."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
    return sorted(page for page in found if ".venv" not in page.parts and blocks(page))


def blocks(page: Path) -> list[Block]:
    """The shell blocks of a page, in order; in a console with prompts, commands are separated from output."""
    read = []
    for mark, language, text in _BLOCK.findall(page.read_text()):
        prompted = _PROMPTED.findall(text) if language == "console" else []
        output = _PROMPTED.sub("", text) if prompted else ""
        read.append(Block("".join(prompted) or text, output, mark))
    return read


def script(page: Path) -> str:
    """What of a page is run, as one script."""
    return "".join(block.script for block in blocks(page) if not block.mark)
