"""Limits of pages that the document does not declare (C-38)."""

from typing import Final

LAST_PAGE: Final = 1_000_000_000
MAX_EXECUTIONS: Final = 100
MAX_LINES: Final = 1000


def within(value: int, least: int, most: int) -> int:
    """Return the value, cut to the limits. Values that the document does not forbid are no error."""
    return max(least, min(value, most))
