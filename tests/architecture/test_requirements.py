"""Every mark of a requirement (`D-041`) or a decision of the architecture (`A9`) leads to a line of a page."""

import re
from pathlib import Path

import pytest

from tests.conformance import ELSEWHERE, PRINTED
from tests.ledger import REQUIREMENTS, ledger, read_requirements

ROOT = Path(__file__).parents[2]
MARK = re.compile(r"(?<![\w-])(?:[DMASO]-\d{3}|C-\d{2})(?![\w-])")
DECISION = re.compile(r"(?<![\w-])A\d{1,2}(?=[,):;]| and )")
ROOMS = ("orchestrator", "workflows", "activities", "api")


def sources() -> list[Path]:
    folders = [ROOT / name for name in (*ROOMS, "tests", "docs", "examples", "bench")]
    inner = [path for folder in folders for kind in ("py", "md", "yaml") for path in folder.rglob(f"*.{kind}")]
    return [*inner, *ROOT.glob("*.md"), *ROOT.glob("*.toml"), *ROOT.glob("*.yml")]


def unknown(text: str) -> set[str]:
    return set(MARK.findall(text)) - REQUIREMENTS.keys()


def test_every_mark_leads_to_a_requirement():
    marks = {path: MARK.findall(path.read_text()) for path in sources()}
    assert sum(map(len, marks.values())) > 1000
    lost = {str(path.relative_to(ROOT)): left for path, found in marks.items() if (left := unknown(" ".join(found)))}
    # The test below names two that do not exist.
    assert lost == {"tests/architecture/test_requirements.py": {"D-999", "C-99"}}


def test_the_check_of_marks_bites():
    assert unknown("holds (D-041, C-09) and (D-999), not A-4") == {"D-999"}
    with pytest.raises(ValueError, match="C-99"):
        ledger("D-001", "C-99")
    with pytest.raises(ValueError, match="D-001"):
        read_requirements("- **D-001** — a\n- **D-001** — b\n")


def test_what_no_test_can_prove_is_a_requirement():
    assert ELSEWHERE.keys() <= REQUIREMENTS.keys()
    for path, marks in PRINTED.items():
        assert (ROOT / path).is_file()
        assert set(marks) <= REQUIREMENTS.keys()


def test_marks_are_numbered_without_a_gap():
    for letter in "DMASOC":
        numbers = [int(mark[2:]) for mark in REQUIREMENTS if mark.startswith(letter)]
        assert numbers == list(range(1, len(numbers) + 1))


def test_every_decision_named_in_code_is_on_the_page_of_architecture():
    rows = set(re.findall(r"^\| (A\d{1,2}) \|", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE))
    code = [path.read_text() for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    named = {mark for text in code for mark in DECISION.findall(text)}
    assert {"A1", "A9"} <= named
    assert named <= rows
