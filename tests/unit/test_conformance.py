"""The page of conformance says what the requirements say and what the run saw, and no more."""

from tests.conformance import page
from tests.ledger import REQUIREMENTS


def test_a_line_holds_when_all_of_its_tests_pass():
    text = page({"D-010": {"tests/a.py::one": True, "tests/b.py::two": True}, "M-009": {"tests/a.py::three": False}})
    assert f"| D-010 | {REQUIREMENTS['D-010']} | yes | `tests/a.py`, `tests/b.py` |" in text
    assert f"| M-009 | {REQUIREMENTS['M-009']} | **no** | tests/a.py::three |" in text
    assert f"| D-011 | {REQUIREMENTS['D-011']} | – | no test names it |" in text
    assert "1 of 110 lines are proved by tests." in text
    assert "0 of 60 lines are proved by tests." in text


def test_a_bar_in_a_requirement_does_not_end_its_cell():
    rows = [line for line in page({}).splitlines() if line.startswith(("| D-", "| M-", "| A-", "| S-", "| O-", "| C-"))]
    assert len(rows) == len(REQUIREMENTS)
    assert {row.replace("\\|", "").count("|") for row in rows} == {5}
