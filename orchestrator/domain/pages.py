"""Places in lists: a page begins after a row, so that rows that are added meanwhile move nothing."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Position:
    """The place of a row in a list that is ordered by time, then id."""

    at: datetime
    id: str
