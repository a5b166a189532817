"""Labels of a job in one column, inside the index that lists of labelled jobs walk."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import ColumnElement, func

from orchestrator.storage.tables import jobs

_MAX_BYTES: Final = 1500  # PostgreSQL refuses an index entry of more than 2704 bytes.
_END: Final = "\n"


def packed(labels: Mapping[str, str]) -> str | None:
    """Return labels as lines, those that fit; None without any."""
    text = _END
    for name, value in sorted(labels.items()):
        line = _line(name, value)
        if "\0" not in line and len((text + line).encode()) <= _MAX_BYTES:
            text += line
    return None if text == _END else text


def labelled(name: str, value: str) -> ColumnElement[bool]:
    """Return the condition for jobs with a label."""
    # Not LIKE: SQLite's disregards case. Both databases have this function.
    return func.replace(jobs.c.labels, _END + _line(name, value), "") != jobs.c.labels


def _line(name: str, value: str) -> str:
    return f"{_inline(name)}:{_inline(value)}{_END}"


def _inline(text: str) -> str:
    return text.replace("\\", "\\\\").replace(_END, "\\n").replace(":", "\\:")
