"""How the page writes times, durations, numbers and money. Pure."""

import json
from datetime import UTC, datetime
from typing import Any, Final

from orchestrator.domain.usage import Usage

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400
_PRECISE: Final = 10.0  # Seconds: shorter durations have a digit after the point.
_LONG_ID: Final = 20
_ID_END: Final = 12
_NOTHING: Final = "–"
_LEAST: Final = 0.0001  # Dollars: smaller amounts would be rounded to nothing.


def duration(seconds: float | None) -> str:
    """A duration in its two largest units, such as `2h 05m`; a dash without one."""
    if seconds is None:
        return _NOTHING
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _PRECISE:
        return f"{seconds:.1f} s"
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE}m {whole % _MINUTE:02d}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h {whole % _HOUR // _MINUTE:02d}m"
    return f"{whole // _DAY}d {whole % _DAY // _HOUR:02d}h"


def ago(moment: datetime | None, now: datetime) -> str:
    """How long ago a moment was, in one unit, such as `5 min ago`; `in 5 min` for a later one."""
    if moment is None:
        return _NOTHING
    seconds = (now - moment).total_seconds()
    size = abs(seconds)
    if size < 1:
        return "now"
    units = ((_DAY, "d", 2 * _DAY), (_HOUR, "h", _HOUR), (_MINUTE, "min", _MINUTE), (1, "s", 1))
    unit, word = next((unit, word) for unit, word, least in units if size >= least)
    text = f"{int(size // unit)} {word}"
    return f"{text} ago" if seconds > 0 else f"in {text}"


def moment(value: datetime | None) -> str:
    """A moment in UTC to the second; a dash without one."""
    return _NOTHING if value is None else value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def iso(value: datetime) -> str:
    """A moment for the attribute `datetime`."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def number(value: int | None) -> str:
    """A whole number with separators of thousands; a dash without one."""
    return _NOTHING if value is None else f"{value:,}"


def money(value: float | None) -> str:
    """An amount in dollars: a dash if it is unknown, `$0.00` if it is known to be nothing."""
    if value is None:
        return _NOTHING
    if 0 < value < _LEAST:
        return f"<${_LEAST}"
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${value:.4f}"


def tokens(usage: Usage | None) -> str:
    """The tokens of calls; a dash as long as no call has reported its usage."""
    return _NOTHING if usage is None or usage == Usage() else number(usage.total_tokens)


def cost(usage: Usage | None) -> str:
    """The cost of calls, like `money`. Calls of functions are free, calls without a known price are not."""
    return money(None if usage is None else usage.cost)


def percent(value: float) -> str:
    """A percentage with one digit after the point."""
    return f"{value:.1f} %"


def words(code: str) -> str:
    """A code as words: `waiting_for_approval` is `waiting for approval`."""
    return code.replace("_", " ").lower()


def document(value: Any) -> str:
    """A value as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def shortened(text: str, most: int = 160) -> str:
    """The beginning of a text on one line."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def short_id(job_id: str) -> str:
    """The end of a long id: ids begin with the time, so that neighbours differ at the end."""
    return job_id if len(job_id) <= _LONG_ID else f"…{job_id[-_ID_END:]}"


FILTERS: Final = {
    "duration": duration,
    "moment": moment,
    "iso": iso,
    "number": number,
    "money": money,
    "tokens": tokens,
    "cost": cost,
    "percent": percent,
    "words": words,
    "document": document,
    "shortened": shortened,
    "short_id": short_id,
}
