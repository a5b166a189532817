"""Names the lines of `docs/requirements.md` that a test proves, in the test's id: `test_cancel[D-052]`."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

PAGE: Final = Path(__file__).parents[1] / "docs" / "requirements.md"
# A bullet of one of the five documents, or a row of the tables of collisions.
_LINE: Final = re.compile(r"^- \*\*([DMASO]-\d{3})\*\* — (.+)$|^\| (C-\d{2}) \| (.+) \|$", re.MULTILINE)


def read_requirements(page: str) -> dict[str, str]:
    """The text of each line by its mark, in the order of the page. Raises `ValueError` for a mark that stands twice."""
    lines = [(bullet or row, text or cells) for bullet, text, row, cells in _LINE.findall(page)]
    requirements = dict(lines)
    if len(requirements) < len(lines):
        marks = [mark for mark, _ in lines]
        raise ValueError(f"marks that stand twice: {sorted({mark for mark in marks if marks.count(mark) > 1})}")
    return requirements


REQUIREMENTS: Final[Mapping[str, str]] = read_requirements(PAGE.read_text())


def ledger(*lines: str) -> pytest.MarkDecorator:
    """Mark a test with the lines (`D-052`, `C-49`, …) that it proves. Raises `ValueError` for an unknown one."""
    if unknown := [line for line in lines if line not in REQUIREMENTS]:
        raise ValueError(f"docs/requirements.md has no line {', '.join(unknown)}")
    return pytest.mark.parametrize("ledger_lines", [lines], ids=["+".join(lines)], indirect=True)
