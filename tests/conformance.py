"""Writes `docs/conformance.md` from a test run: whether each line of the ledger holds, by the ids in the tests."""

import re
from collections import defaultdict
from pathlib import Path
from typing import Final

import pytest

PAGE: Final = Path(__file__).parents[1] / "docs" / "conformance.md"
_LINES: Final = {"D": 110, "M": 60, "A": 38, "S": 37, "O": 51}
_NAMES: Final = {
    "D": "Devora, the native surface",
    "M": "Multi-Agent Orchestrator, workflows by type",
    "A": "AI Orchestra, chat",
    "S": "DevSkyy, decisions and partnerships",
    "O": "AgentOrchestra",
}
_MARK: Final = re.compile(r"\b([DMASO]-\d{3})\b")
# Lines that no test of the server can prove, with the reason.
_ELSEWHERE: Final = {
    **dict.fromkeys([f"D-{n:03}" for n in range(72, 95)], "client libraries and their command line: not built yet"),
    **dict.fromkeys([f"A-{n:03}" for n in range(30, 34)], "client libraries: not built yet"),
    **dict.fromkeys(["A-037"], "advice to clients; the libraries are to follow it"),
    **dict.fromkeys(["S-034"], "client libraries: not built yet"),
    **dict.fromkeys(["D-107", "D-108", "D-110", "A-038", "S-037"], "says nothing that a server does"),
    **dict.fromkeys(["S-026", "S-031", "S-036"], "a promise of an operator, not of the software"),
}
# Tests that stand as their document prints them, and so carry no ids.
_PRINTED: Final = {
    "tests/unit/api/test_endpoints.py": ("M-006", "M-009", "M-010", "M-011", "M-046"),
    "tests/integration/api/test_full_flow.py": ("M-012", "M-014", "M-015", "M-047"),
}


class Conformance:
    """A pytest plugin. Writes the page after a whole run; a run of single files leaves it alone."""

    def __init__(self) -> None:
        self._held: dict[str, dict[str, bool]] = defaultdict(dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the outcome of one test for every line in its id."""
        if report.when != "call" and report.outcome == "passed":
            return
        test = report.nodeid.partition("[")[0]
        for line in [*_MARK.findall(report.nodeid), *_PRINTED.get(test.partition("::")[0], ())]:
            self._held[line][test] = self._held[line].get(test, True) and report.outcome == "passed"

    def pytest_sessionfinish(self) -> None:
        """Write the page."""
        PAGE.write_text(page(self._held))


def page(held: dict[str, dict[str, bool]]) -> str:
    """The page for lines, the tests that name them, and whether those passed."""
    parts = [
        "# Conformance",
        "",
        "Which lines of the requirements hold, as the last whole test run saw it. `make test` writes this page from",
        "the ids of the tests; it is not edited by hand.",
    ]
    for letter, count in _LINES.items():
        lines = [f"{letter}-{n:03}" for n in range(1, count + 1)]
        proved = sum(bool(held.get(line)) and all(held[line].values()) for line in lines)
        parts += ["", f"## {_NAMES[letter]}", "", f"{proved} of {count} lines are proved by tests.", ""]
        parts += ["| line | holds | by |", "|---|---|---|"]
        parts += [_row(line, held.get(line, {})) for line in lines]
    return "\n".join(parts) + "\n"


def _row(line: str, tests: dict[str, bool]) -> str:
    if not tests:
        return f"| {line} | – | {_ELSEWHERE.get(line, 'no test names it')} |"
    files = sorted({test.partition("::")[0] for test in tests})
    failed = sorted(test for test, passed in tests.items() if not passed)
    if failed:
        return f"| {line} | **no** | {', '.join(failed)} |"
    return f"| {line} | yes | {', '.join(f'`{file}`' for file in files)} |"
