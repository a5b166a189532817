"""How long the index keeps ended jobs and their rows."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Retention:
    """None keeps the rows forever."""

    jobs: timedelta | None = None
    events: timedelta | None = None
    attempts: timedelta | None = None
    deliveries: timedelta | None = None
    audit: timedelta | None = None
