"""Names the ledger lines that a test proves, in the test's id: `test_cancel[D-052]`."""

import pytest


def ledger(*lines: str) -> pytest.MarkDecorator:
    """Mark a test with the ledger lines (`D-052`, `M-009`, …) that it proves."""
    return pytest.mark.parametrize("ledger_lines", [lines], ids=["+".join(lines)], indirect=True)
