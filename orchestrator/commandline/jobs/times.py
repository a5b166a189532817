"""Times and durations: parsed from options, formatted for people."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from orchestrator.commandline.terminal.exits import Refused

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION: Final = r"(\d{1,6})([smhdw])"


def moment(text: str, flag: str, now: datetime) -> datetime:
    """A time, parsed from an age (`90s`, `30m`, `2h`, `7d`, `1w`) or from ISO 8601; without an offset it is UTC.

    Raises `Refused`.
    """
    age = re.fullmatch(_DURATION, text)
    try:
        if age:
            return now - timedelta(**{_UNITS[age[2]]: int(age[1])})
        time = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as fault:
        raise Refused(
            f"invalid {flag} {text!r}: expected an age such as 30m, 2h or 7d, or a time such as 2026-01-31T12:00"
        ) from fault
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def seconds_of(text: str, flag: str) -> int:
    """A duration (`90s`, `30m`, `6h`, `1d`, `1w`) in seconds. Raises `Refused`."""
    parts = re.fullmatch(_DURATION, text)
    if parts is None:
        raise Refused(f"invalid {flag} {text!r}: expected a duration such as 90m, 6h or 1d")
    return round(timedelta(**{_UNITS[parts[2]]: int(parts[1])}).total_seconds())


def span(seconds: float) -> str:
    """A duration: `0.4 s`, `12 s`, `4 min 05 s`, `2 h 10 min`, `3 d 4 h`."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    total = int(seconds)
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min {total % 60:02d} s"
    if total < 86400:
        return f"{total // 3600} h {total % 3600 // 60:02d} min"
    return f"{total // 86400} d {total % 86400 // 3600} h"


def age(moment: datetime | None, now: datetime) -> str:
    """How long ago a time was, in its largest unit: `12s`, `4m`, `2h`, `3d`; empty for None."""
    if moment is None:
        return ""
    seconds = max(0, int((now - moment).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
