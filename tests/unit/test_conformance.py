"""The page of conformance says what the run saw, and no more."""

from tests.conformance import page


def test_a_line_holds_when_all_of_its_tests_pass():
    told = page({"D-010": {"tests/a.py::one": True, "tests/b.py::two": True}, "M-009": {"tests/a.py::three": False}})
    assert "| D-010 | yes | `tests/a.py`, `tests/b.py` |" in told
    assert "| M-009 | **no** | tests/a.py::three |" in told
    assert "| D-011 | – | no test names it |" in told
    assert "1 of 110 lines are proved by tests." in told
    assert "0 of 60 lines are proved by tests." in told
