"""The list of jobs, as a table for people."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.commandline.followed import FollowedJob, ListedJob
from orchestrator.commandline.jobs.times import age
from orchestrator.commandline.plain_text import one_line
from orchestrator.domain.jobs import ReasonCode

STYLES: Final = {
    "completed": "green",
    "failed": "red",
    "timeout": "red",
    "timed_out": "red",
    "stuck": "red",
    "no_worker": "red",
    "cancelled": "yellow",
    "paused": "yellow",
    "retrying": "yellow",
    "waiting_for_approval": "magenta",
    "running": "cyan",
    "skipped": "dim",
    "pending": "dim",
    "queued": "dim",
}
_NO_LIMIT: Final = 10_000
_UNREMARKABLE: Final = (ReasonCode.RUNNING, ReasonCode.QUEUED)


def print_table(console: Console, jobs: Iterable[ListedJob], now: datetime) -> None:
    """One row for each job. A terminal cuts off why; a pipe or a file gets it whole."""
    if console.is_terminal:
        console.print(table(jobs, now, whole=False))
    else:
        Console(file=console.file, width=_NO_LIMIT, color_system=None).print(table(jobs, now, whole=True))


def table(jobs: Iterable[ListedJob], now: datetime, *, whole: bool) -> Table:
    """The table; `whole` cuts nothing off."""
    jobs = list(jobs)
    made = Table(box=None, pad_edge=False, header_style="bold", collapse_padding=True)
    # An id is there to be copied: it is never cut.
    made.add_column("JOB", no_wrap=True, min_width=max((len(job.job_id) for job in jobs), default=0))
    for title in ("RUNS", "WHERE"):
        made.add_column(title, no_wrap=True)
    for title in ("DONE", "AGE"):
        made.add_column(title, no_wrap=True, justify="right", min_width=5 if title == "DONE" else 3)
    made.add_column("WHY", no_wrap=True, overflow="ignore" if whole else "ellipsis", ratio=None if whole else 1)
    for job in jobs:
        where = where_of(job)
        made.add_row(
            plain_cell(job.job_id),
            plain_cell(job.target),
            Text(where, style=STYLES.get(where, "")),
            f"{job.progress} %",
            age(job.created_at, now),
            plain_cell(why(job)),
        )
    return made


def where_of(job: ListedJob) -> str:
    """Where a job is, in a word: its reason if that is remarkable, else its state."""
    if job.reason is not None and job.reason.code not in _UNREMARKABLE:
        return job.reason.code
    return (job.state or job.status).lower()


def why(job: ListedJob) -> str:
    """Why it is there; of one that was started again the new job."""
    if job.retried_by:
        return f"started again as {job.retried_by[-1]}"
    if isinstance(job, FollowedJob) and job.error is not None:
        return f"{job.error.type}: {job.error.message}"
    if job.reason is not None and job.reason.code not in _UNREMARKABLE:
        return job.reason.message
    return ""


def plain_cell(text: str) -> Text:
    """Text of others, on one line and without markup."""
    return Text(one_line(text))
