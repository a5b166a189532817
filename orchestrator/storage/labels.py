"""Labels of jobs: a column of the job, and one row for each label, by which lists find labelled jobs."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, Index, String, Table, delete, func, insert

from orchestrator.storage.moments import UtcDateTime
from orchestrator.storage.tables import jobs, metadata

_MAX_BYTES: Final = 1500  # PostgreSQL refuses an index entry of more than 2704 bytes.
_END: Final = "\n"
_LINE: Final = re.compile(r"((?:[^\\:]|\\.)*):(.*)")
_ESCAPED: Final = re.compile(r"\\(.)")

_COPIED: Final = ("owner", "kind", "definition", "state", "cost")

# The key is the order of a list: a filter by a label reads the entries of its page only. The other columns are copies
# of the job's, by which lists filter, sort and count. A trigger on jobs writes them when its state or cost changes.
job_labels: Final = Table(
    "job_labels",
    metadata,
    Column("label", String, primary_key=True),
    Column("created_at", UtcDateTime, primary_key=True),
    Column("job_id", String, primary_key=True),
    *(Column(name, jobs.c[name].type) for name in _COPIED),
    Index("ix_job_labels_job", "job_id"),
    Index("ix_job_labels_cost", "label", "state", "cost", "job_id", "owner", "kind", "definition", "created_at"),
    sqlite_with_rowid=False,
)


def packed(labels: Mapping[str, str]) -> str | None:
    """Return labels as lines, those that fit; None without any."""
    text = _END
    for name, value in sorted(labels.items()):
        line = label_of(name, value) + _END
        if "\0" not in line and len((text + line).encode()) <= _MAX_BYTES:
            text += line
    return None if text == _END else text


def unpacked(lines: str | None) -> dict[str, str]:
    """Return the labels of lines that `packed` returned."""
    parts = [_LINE.fullmatch(line) for line in (lines or "").strip(_END).split(_END)]
    return {_plain(part[1]): _plain(part[2]) for part in parts if part is not None}


def label_rows(job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a new job's labels, from its columns."""
    lines = (job.get("labels") or "").strip(_END).split(_END)
    copies = {"job_id": job.get("id"), **{name: job.get(name) for name in ("created_at", *_COPIED)}}
    return [{"label": line, **copies} for line in lines if line]


def add_labels(connection: Connection, job: Mapping[str, Any]) -> None:
    """Write the rows of a new job's labels."""
    if rows := label_rows(job):
        connection.execute(insert(job_labels), rows).close()


def delete_labels(connection: Connection, job_ids: Sequence[str]) -> None:
    """Delete the rows of jobs that are deleted."""
    connection.execute(delete(job_labels).where(job_labels.c.job_id.in_(job_ids))).close()


def labelled(name: str, value: str) -> ColumnElement[bool]:
    """Return the condition for jobs with a label."""
    # Not LIKE: SQLite's disregards case. Both databases have this function.
    return func.replace(jobs.c.labels, f"{_END}{label_of(name, value)}{_END}", "") != jobs.c.labels


def label_of(name: str, value: str) -> str:
    """Return a label as one line."""
    return f"{_inline(name)}:{_inline(value)}"


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda escaped: _END if escaped[1] == "n" else escaped[1], text)


def _inline(text: str) -> str:
    return text.replace("\\", "\\\\").replace(_END, "\\n").replace(":", "\\:")
