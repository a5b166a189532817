"""The list of jobs, as a table for people."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.commandline.jobs.times import age
from orchestrator.commandline.run.job_view import ListedJob
from orchestrator.commandline.terminal.plain_text import one_line
from orchestrator.domain.jobs import JobState, JobStatus, ReasonCode

_OF_STATUS: Final = {
    JobStatus.QUEUED: "dim",
    JobStatus.RUNNING: "cyan",
    JobStatus.COMPLETED: "green",
    JobStatus.FAILED: "red",
    JobStatus.CANCELLED: "yellow",
}
# By the word shown: a status or state of a job, a reason, or the status of a call or attempt.
STYLES: Final[dict[str, str]] = {
    **{status.value: style for status, style in _OF_STATUS.items()},
    **{state.lower(): _OF_STATUS[state.status] for state in JobState},
    "timed_out": "red",
    "stuck": "red",
    "no_worker": "red",
    "paused": "yellow",
    "retrying": "yellow",
    "waiting_for_approval": "magenta",
    "waiting_for_input": "magenta",
    "skipped": "dim",
}
_NO_LIMIT: Final = 10_000
_NARROW: Final = 120
_LONG_NAME: Final = 24
_UNREMARKABLE: Final = (ReasonCode.RUNNING, ReasonCode.QUEUED, ReasonCode.SCHEDULED)


def print_table(console: Console, jobs: Iterable[ListedJob], now: datetime) -> None:
    """Print one row for each job. A terminal cuts reasons off, and a narrow one gets two lines for each job; a pipe or
    a file gets complete rows."""
    if console.is_terminal and console.width < _NARROW:
        for job in jobs:
            console.print(*_two_lines(job, now), sep="\n", no_wrap=True, overflow="ellipsis", highlight=False)
    elif console.is_terminal:
        console.print(table(jobs, now, is_complete=False))
    else:
        Console(file=console.file, width=_NO_LIMIT, color_system=None).print(table(jobs, now, is_complete=True))


def table(jobs: Iterable[ListedJob], now: datetime, *, is_complete: bool) -> Table:
    """The table; with `is_complete` nothing is cut off."""
    jobs = list(jobs)
    rows = Table(box=None, pad_edge=False, header_style="bold", collapse_padding=True)
    # Users copy ids: they are never cut.
    rows.add_column("JOB", no_wrap=True, min_width=_longest(job.job_id for job in jobs))
    rows.add_column("TARGET", no_wrap=True, min_width=min(_longest(job.target for job in jobs), _LONG_NAME))
    rows.add_column("STATE", no_wrap=True, min_width=_longest(map(state_word, jobs)))
    for title, width in (("PROGRESS", 8), ("AGE", 3)):
        rows.add_column(title, no_wrap=True, justify="right", min_width=width)
    rows.add_column(
        "REASON", no_wrap=True, overflow="ignore" if is_complete else "ellipsis", ratio=None if is_complete else 1
    )
    for job in jobs:
        state = state_word(job)
        rows.add_row(
            plain_cell(job.job_id),
            plain_cell(job.target),
            Text(state, style=STYLES.get(state, "")),
            job.progress_text,
            age(job.created_at, now),
            plain_cell(reason_text(job)),
        )
    return rows


def _longest(texts: Iterable[str]) -> int:
    return max(map(len, texts), default=0)


def _two_lines(job: ListedJob, now: datetime) -> Iterator[Text]:
    state = state_word(job)
    yield Text.assemble((one_line(job.job_id), "bold"), "  ", one_line(job.target))
    yield Text.assemble(
        "  ",
        (state, STYLES.get(state, "")),
        f"  {job.progress_text}  {age(job.created_at, now)}  ",
        one_line(reason_text(job)),
    )


def state_word(job: ListedJob) -> str:
    """The state of a job in one word: its reason, unless it just runs or is queued, else its state."""
    if job.reason is not None and job.reason.code not in _UNREMARKABLE:
        return job.reason.code
    return (job.state or job.status).lower()


def reason_text(job: ListedJob) -> str:
    """The error or the reason of a job; for a retried job, the new job."""
    if job.retried_by:
        return f"retried as {job.retried_by[-1]}"
    if job.error is not None:
        return f"{job.error.type}: {job.error.message}"
    if job.reason is not None and job.reason.code not in _UNREMARKABLE:
        return job.reason.message
    return ""


def plain_cell(text: str) -> Text:
    """Untrusted text, on one line and without markup."""
    return Text(one_line(text))
