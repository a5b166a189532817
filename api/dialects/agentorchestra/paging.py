"""Limits of pages that the document does not declare (C-38)."""

from typing import Final

LAST_PAGE: Final = 1_000_000_000
MAX_EXECUTIONS: Final = 100
MAX_LINES: Final = 1000


def clamp(value: int, minimum: int, maximum: int) -> int:
    """Return the value, cut to the limits.

    Values outside the limits are cut, not refused, because the document declares no limits.
    """
    return max(minimum, min(value, maximum))
