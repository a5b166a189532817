"""Shows a job as it goes: bars that move on a terminal, one line per change anywhere else."""

from collections.abc import Iterable
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.table import Column

from orchestrator.commandline.run.job_view import FollowedJob, ShownCall
from orchestrator.commandline.terminal.plain_text import one_line
from orchestrator.domain.jobs import CallStatus, JobStatus, ReasonCode

# Reasons that say no more than the steps do.
_ROUTINE = frozenset({ReasonCode.QUEUED, ReasonCode.RUNNING, ReasonCode.RETRYING, ReasonCode.NO_SIGN_OF_LIFE})
_WAYS_ON: dict[str, str] = {
    ReasonCode.WAITING_FOR_APPROVAL: "orchestrator jobs approve {}",
    ReasonCode.PAUSED: "orchestrator jobs resume {}",
}
_SIGNS: dict[str, str] = {
    CallStatus.COMPLETED: "[green]done[/]",
    CallStatus.FAILED: "[red]failed[/]",
    CallStatus.CANCELLED: "[yellow]cancelled[/]",
    CallStatus.SKIPPED: "[dim]skipped[/]",
    CallStatus.PENDING: "[dim]waits[/]",
}


class Display(Protocol):
    """Where a followed job is shown; a context manager."""

    def show(self, job: FollowedJob) -> None:
        """The job as it is now."""

    def trouble(self, words: str) -> None:
        """The job cannot be read at the moment."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave what is shown as it is."""


def display(console: Console) -> "Display":
    """Bars on a terminal, else plain lines."""
    return Bars(console) if console.is_terminal else Lines(console)


class Lines:
    """One line for each call or reason that has changed; no escape codes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Nothing to prepare."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to leave."""

    def show(self, job: FollowedJob) -> None:
        """Tell what is new since the last look."""
        for call in job.steps:
            if call.status != CallStatus.PENDING:
                self._tell(
                    f"{call.step}/{call.agent}/{call.call}",
                    f"{one_line(call.step):<28} {one_line(call.agent):<26} {words(call)}",
                    job.progress,
                )
        self._tell("reason", reason(job) or "", job.progress)

    def trouble(self, words: str) -> None:
        """Tell of it, once."""
        self._tell("reason", f"{words}; the job goes on, trying again", None)

    def _tell(self, key: str, text: str, progress: int | None) -> None:
        if self._told.get(key, "") == text:
            return
        self._told[key] = text
        if text:
            part = " " * 5 if progress is None else f"{progress:>3} %"
            self._console.print(f"{part}  {text}", markup=False, highlight=False, soft_wrap=True)


class Bars:
    """A bar for the whole, and a line for each step."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=20, table_column=Column(min_width=20)),
            TaskProgressColumn(),
            TextColumn("{task.fields[words]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
            console=console,
            expand=True,
        )
        self._whole = self._progress.add_task("", total=100, words="")
        self._steps: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Draw a last time."""
        self._progress.stop()

    def show(self, job: FollowedJob) -> None:
        """Draw the job as it is."""
        self._progress.update(
            self._whole,
            description=f"[bold]{escape(one_line(job.name))}[/]",
            completed=job.progress,
            words=escape(reason(job) or "") or _SIGNS.get(job.status, job.status),
        )
        for step, calls in _by_step(job.steps).items():
            if step not in self._steps:
                title = f"  {escape(one_line(calls[0].title))}"
                self._steps[step] = self._progress.add_task(title, total=len(calls), words="")
            ended = sum(call.ended for call in calls)
            self._progress.update(self._steps[step], completed=ended, words=_step_words(calls))

    def trouble(self, words: str) -> None:
        """Say it beside the whole."""
        self._progress.update(self._whole, words=f"[yellow]{escape(words)}; trying again[/]")


def reason(job: FollowedJob) -> str | None:
    """Why an open job is where it is, and what moves it on, unless its steps say it already."""
    if job.reason is None or job.reason.code in _ROUTINE:
        return None
    advice = way_on(job)
    message = one_line(job.reason.message)
    return f"{message} ({advice})" if advice else message


def way_on(job: FollowedJob) -> str | None:
    """The command that moves on a job which waits for somebody, or finishes one that failed; None for any other."""
    if job.status == JobStatus.FAILED and not job.retried_by:
        return f"orchestrator jobs retry {job.job_id}"
    advice = _WAYS_ON.get(job.reason.code) if job.reason else None
    return advice.format(job.job_id) if advice else None


def words(call: ShownCall) -> str:
    """What has become of a call, with its attempts where there were several."""
    attempt = call.attempts[-1] if call.attempts else None
    parts = [call.status if call.status != CallStatus.SCHEDULED else "asked"]
    if attempt is not None and (attempt.number > 1 or call.status == CallStatus.RETRYING):
        parts.append(f"attempt {attempt.number}")
    fault = call.error or next((a.error for a in reversed(call.attempts) if a.error), None)
    if fault is not None and call.status != CallStatus.COMPLETED:
        parts.append(one_line(fault.message))
    if call.status == CallStatus.COMPLETED and call.duration is not None:
        parts.append(f"{call.duration:.1f} s, {call.tokens:,} tokens")
    return ", ".join(parts)


def _step_words(calls: list[ShownCall]) -> str:
    found = {call.status for call in calls}
    if len(found) == 1 and (sign := _SIGNS.get(calls[0].status)):
        return sign
    return escape("; ".join(f"{call.agent}: {words(call)}" for call in calls if call.status in _TOLD)[:160])


_TOLD = (CallStatus.RUNNING, CallStatus.RETRYING, CallStatus.FAILED, CallStatus.WAITING_FOR_APPROVAL)


def _by_step(calls: Iterable[ShownCall]) -> dict[str, list[ShownCall]]:
    grouped: dict[str, list[ShownCall]] = {}
    for call in calls:
        grouped.setdefault(call.step, []).append(call)
    return grouped
