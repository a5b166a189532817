"""Places in lists: a page begins after a row, so that rows that are added meanwhile move nothing."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

MOST_COUNTED: Final = 1000
"""A list of jobs counts at most so many jobs beyond its offset: counting a million takes longer than a page."""


@dataclass(frozen=True, slots=True)
class Position:
    """The place of a row in a list that is ordered by time, then id."""

    at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class CostPosition:
    """The place of a job in a list that is ordered by cost, then id."""

    cost: float
    id: str
