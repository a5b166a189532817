"""How long the index keeps what is over."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Retention:
    """How long each kind of row is kept after it ended. None keeps it for good."""

    jobs: timedelta | None = None
    events: timedelta | None = None
    attempts: timedelta | None = None
    deliveries: timedelta | None = None
    audit: timedelta | None = None
