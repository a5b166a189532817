"""Points in time as every text of the product writes them."""

from datetime import UTC, datetime


def stamp(moment: datetime) -> str:
    """ISO 8601 in UTC with `Z`, to the second (D-004)."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
