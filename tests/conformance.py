"""Writes `docs/conformance.md` from a test run: whether each line of the requirements holds, by the ids in tests."""

import re
from collections import defaultdict
from pathlib import Path
from typing import Final

import pytest

from tests.ledger import REQUIREMENTS

PAGE: Final = Path(__file__).parents[1] / "docs" / "conformance.md"
_NAMES: Final = {
    "D": "Devora, the native surface",
    "M": "Multi-Agent Orchestrator, workflows by type",
    "A": "AI Orchestra, chat",
    "S": "DevSkyy, decisions and partnerships",
    "O": "AgentOrchestra",
    "C": "Collisions and contradictions",
}
_MARK: Final = re.compile(r"\b([DMASO]-\d{3}|C-\d{2})\b")
# Lines that no test of the server can prove, with the reason.
ELSEWHERE: Final = {
    **dict.fromkeys(["D-090"], "libraries of the community, which the product does not have to bring"),
    **dict.fromkeys(["D-107", "D-108", "D-110", "A-038", "S-037", "C-62"], "says nothing that a server does"),
    **dict.fromkeys(["S-026", "S-031", "S-036"], "a promise of an operator, not of the software"),
}
# Tests that stand as their document prints them, and so carry no ids.
PRINTED: Final = {
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
        for line in [*_MARK.findall(report.nodeid), *PRINTED.get(test.partition("::")[0], ())]:
            self._held[line][test] = self._held[line].get(test, True) and report.outcome == "passed"

    def pytest_sessionfinish(self) -> None:
        """Write the page."""
        PAGE.write_text(page(self._held))


def page(held: dict[str, dict[str, bool]]) -> str:
    """The page: each line, its text, the tests that name it, and whether those passed."""
    parts = [
        "# Conformance",
        "",
        "Which lines of the [requirements](requirements.md) hold, as the last whole test run saw it. `make test`",
        "writes this page from the ids of the tests; it is not edited by hand.",
    ]
    for letter, name in _NAMES.items():
        lines = [line for line in REQUIREMENTS if line.startswith(letter)]
        proved = sum(bool(held.get(line)) and all(held[line].values()) for line in lines)
        parts += ["", f"## {name}", "", f"{proved} of {len(lines)} lines are proved by tests.", ""]
        parts += ["| line | requirement | holds | by |", "|---|---|---|---|"]
        parts += [_row(line, held.get(line, {})) for line in lines]
    return "\n".join(parts) + "\n"


def _row(line: str, tests: dict[str, bool]) -> str:
    # A row of a table is its cells; a bar inside a cell would end the cell.
    text = REQUIREMENTS[line].replace(" | ", " · ").replace("|", "\\|")
    return f"| {line} | {text} | {_verdict(line, tests)} |"


def _verdict(line: str, tests: dict[str, bool]) -> str:
    if not tests:
        return f"– | {ELSEWHERE.get(line, 'no test names it')}"
    files = sorted({test.partition("::")[0] for test in tests})
    failed = sorted(test for test, passed in tests.items() if not passed)
    if failed:
        return f"**no** | {', '.join(failed)}"
    return f"yes | {', '.join(f'`{file}`' for file in files)}"
