"""Shows a running job: progress bars on a terminal, one line for each change elsewhere."""

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

# Reasons that add nothing to what the steps show.
_ROUTINE = frozenset(
    {ReasonCode.QUEUED, ReasonCode.SCHEDULED, ReasonCode.RUNNING, ReasonCode.RETRYING, ReasonCode.NO_SIGN_OF_LIFE}
)
_NEXT_COMMANDS: dict[str, str] = {
    ReasonCode.WAITING_FOR_APPROVAL: "orchestrator jobs approve {}",
    ReasonCode.WAITING_FOR_INPUT: "orchestrator jobs answer {} FIELD=VALUE",
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
    """Shows a job while it runs; a context manager."""

    def show(self, job: FollowedJob) -> None:
        """Show the current state of the job."""

    def trouble(self, message: str) -> None:
        """Report that the job cannot be read for now."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last output on the screen."""


def display(console: Console) -> "Display":
    """Progress bars on a terminal, else plain lines."""
    return Bars(console) if console.is_terminal else Lines(console)


class Lines:
    """Prints one line for each call or reason that has changed, without escape codes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._printed: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Nothing to prepare."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to clean up."""

    def show(self, job: FollowedJob) -> None:
        """Print what has changed."""
        for call in job.steps:
            if call.status != CallStatus.PENDING:
                self._print(
                    f"{call.place}/{call.agent}/{call.call}",
                    f"{one_line(call.place):<28} {one_line(call.agent):<26} {words(call)}",
                    job.progress_text,
                )
        self._print("reason", reason(job) or "", job.progress_text)

    def trouble(self, message: str) -> None:
        """Print the message, unless it is the last one printed."""
        self._print("reason", f"{message}; the job continues; retrying", "")

    def _print(self, key: str, text: str, progress: str) -> None:
        if self._printed.get(key, "") == text:
            return
        self._printed[key] = text
        if text:
            self._console.print(f"{progress:>5}  {text}", markup=False, highlight=False, soft_wrap=True)


class Bars:
    """A progress bar for the job, and one for each step."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=20, table_column=Column(min_width=20)),
            TaskProgressColumn(),
            TextColumn("{task.fields[words]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
            console=console,
            expand=True,
        )
        self._job = self._progress.add_task("", total=100, words="")
        self._steps: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Draw the last state."""
        self._progress.stop()

    def show(self, job: FollowedJob) -> None:
        """Draw the current state of the job."""
        self._progress.update(
            self._job,
            description=f"[bold]{escape(one_line(job.name))}[/]",
            total=100 if job.progress is not None else max(job.calls_known, 1),
            completed=job.calls_done if job.progress is None else job.progress,
            words=escape(reason(job) or "") or _SIGNS.get(job.status, job.status),
        )
        for step, calls in _by_step(job.steps).items():
            if step not in self._steps:
                title = f"  {escape(one_line(calls[0].title))}"
                self._steps[step] = self._progress.add_task(title, total=len(calls), words="")
            ended = sum(call.ended for call in calls)
            self._progress.update(self._steps[step], completed=ended, words=_step_words(calls))

    def trouble(self, message: str) -> None:
        """Draw the message beside the job's bar."""
        self._progress.update(self._job, words=f"[yellow]{escape(message)}; trying again[/]")


def reason(job: FollowedJob) -> str | None:
    """Why an open job does not advance, and the command that helps. None if the steps show the reason already."""
    if job.reason is None or job.reason.code in _ROUTINE:
        return None
    command = next_command(job)
    message = one_line(job.reason.message)
    return f"{message} ({command})" if command else message


def next_command(job: FollowedJob) -> str | None:
    """The command that continues a job which waits for a person, or retries one that failed; None for other jobs."""
    if job.status == JobStatus.FAILED and not job.retried_by:
        return f"orchestrator jobs retry {job.job_id}"
    command = _NEXT_COMMANDS.get(job.reason.code) if job.reason else None
    return command.format(job.job_id) if command else None


def words(call: ShownCall) -> str:
    """The status of a call; also its turn and its attempt if there were several, its error, and what it used."""
    parts = [call.status if call.status != CallStatus.SCHEDULED else "asked"]
    if call.turns and call.turns > 1:
        parts.append(f"turn {call.turns}")
    if len(call.tries) > 1 or (call.tries and call.status == CallStatus.RETRYING):
        parts.append(f"attempt {len(call.tries)}")
    fault = call.error or next((a.error for a in reversed(call.attempts) if a.error), None)
    if fault is not None and call.status != CallStatus.COMPLETED:
        parts.append(one_line(fault.message))
    if call.status == CallStatus.COMPLETED and call.duration is not None:
        parts.append(f"{call.duration:.1f} s, {call.tokens:,} tokens")
    return ", ".join(parts)


def _step_words(calls: list[ShownCall]) -> str:
    statuses = {call.status for call in calls}
    if len(statuses) == 1 and (sign := _SIGNS.get(calls[0].status)):
        return sign
    return escape("; ".join(f"{call.agent}: {words(call)}" for call in calls if call.status in _DETAILED)[:160])


_DETAILED = (CallStatus.RUNNING, CallStatus.RETRYING, CallStatus.FAILED, CallStatus.WAITING_FOR_APPROVAL)


def _by_step(calls: Iterable[ShownCall]) -> dict[str, list[ShownCall]]:
    groups: dict[str, list[ShownCall]] = {}
    for call in calls:
        groups.setdefault(call.step, []).append(call)
    return groups
