"""One action on many jobs: select them by id or filter, count them, act on several at a time, print a summary."""

import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from orchestrator.commandline.jobs.actions import RULES, Action, narrowed
from orchestrator.commandline.jobs.client import ActionOutcome, JobsClient, new_key
from orchestrator.commandline.jobs.retries import ApiRetries
from orchestrator.commandline.jobs.selection import Selection
from orchestrator.commandline.jobs.table import print_table
from orchestrator.commandline.options import Connection
from orchestrator.commandline.run.client import NoAnswer, Rejected
from orchestrator.commandline.run.job_view import ListedJob
from orchestrator.commandline.terminal import exits
from orchestrator.commandline.terminal.exits import Refused
from orchestrator.commandline.terminal.plain_text import one_line

_AT_ONCE: Final = 8
_RETRY_SECONDS: Final = 120.0
_SHOWN: Final = 10
_FEW: Final = 20
_LOCKED_OUT: Final = (401, 403)


@dataclass(frozen=True, slots=True)
class BulkOptions:
    """The action and its jobs: `ids`, or else the newest `maximum` jobs of a selection (None: all of them)."""

    action: Action
    ids: tuple[str, ...]
    selection: Selection
    body: dict[str, Any]
    maximum: int | None = None
    yes: bool = False
    dry_run: bool = False
    as_json: bool = False


@dataclass(slots=True)
class Results:
    """The results so far. `open` counts requests without a response yet, `untried` jobs without a request."""

    outcomes: list[ActionOutcome] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    open: int = 0
    untried: int = 0

    @property
    def total(self) -> int:
        """The number of jobs."""
        return len(self.outcomes) + len(self.failures) + self.open + self.untried

    @property
    def code(self) -> int:
        """The exit code: 0 if every action was done or requested, else 1."""
        return exits.FAILED if self.failures or self.untried else exits.OK


def run(options: BulkOptions, api: Connection, console: Console) -> int:
    """Act on the jobs. Jobs of a filter need a confirmation first. Returns the exit code. Raises `Refused`."""
    if not options.ids and not options.selection:
        raise Refused(
            f"no jobs selected: name their ids or use a filter, for example: orchestrator jobs {options.action} "
            "--workflow api_development --since 2h"
        )
    if options.ids and (options.selection or options.maximum):
        raise Refused("use ids or filters, not both: a filter selects among all jobs")
    results = Results()
    try:
        return asyncio.run(_run(options, api, console, results))
    except NoAnswer as fault:
        raise Refused(str(fault), exits.FAILED) from fault
    except KeyboardInterrupt:
        _say_summary(options, results, interrupted=True)
        return exits.INTERRUPTED


async def _run(options: BulkOptions, api: Connection, console: Console, results: Results) -> int:
    client = JobsClient(api.url, api.key)
    try:
        ids = list(dict.fromkeys(options.ids))
        if not ids:
            jobs = await _selected(client, options)
            if not _confirmed(options, jobs, console):
                return exits.OK
            ids = [job.job_id for job in jobs]
        elif options.dry_run:
            _say_nothing_done(options, ids, f"would {options.action} {_counted(len(ids))}. Nothing was done.")
            return exits.OK
        results.untried = len(ids)
        await _BulkAction(client, options, results, ids).carry_out()
        _say_summary(options, results)
        return results.code
    finally:
        await client.aclose()


async def _selected(client: JobsClient, options: BulkOptions) -> list[ListedJob]:
    rule = RULES[options.action]
    page = await client.find(
        narrowed(options.action, options.selection),
        ApiRetries(_RETRY_SECONDS, exits.warn),
        maximum=options.maximum,
        applies=rule.applies,
    )
    return page.jobs


def _confirmed(options: BulkOptions, jobs: Sequence[ListedJob], console: Console) -> bool:
    """Whether to act on the jobs. Shows them and asks on a terminal, unless `--yes` was given."""
    if not jobs:
        _say_nothing_done(options, [], f"no job to {options.action} matches")
        return False
    if options.yes and not options.dry_run:
        return True
    if options.as_json:
        _say_nothing_done(options, [job.job_id for job in jobs], "")
        return False
    console.print(preview(options.action, jobs), markup=False, highlight=False, soft_wrap=True)
    print_table(console, jobs[:_SHOWN], datetime.now(UTC))
    if len(jobs) > _SHOWN:
        console.print(f"… and {len(jobs) - _SHOWN} more")
    if options.dry_run or not (console.is_terminal and sys.stdin.isatty()):
        console.print("Nothing was done." if options.dry_run else "Nothing was done. Add --yes to do it.")
        return False
    return typer.confirm(f"{options.action.capitalize()} {_counted(len(jobs))}?")


def preview(action: Action, jobs: Sequence[ListedJob]) -> str:
    """A sentence that counts the jobs by their workflow or agent."""
    targets = Counter(one_line(job.target) for job in jobs).most_common()
    first = ", ".join(f"{count} {target}" for target, count in targets[:5])
    others = f", {sum(count for _, count in targets[5:])} others" if len(targets) > 5 else ""
    return f"would {action} {_counted(len(jobs))}: {first}{others}"


def _say_nothing_done(options: BulkOptions, ids: Sequence[str], words: str) -> None:
    if options.as_json:
        exits.say_json({"action": options.action, "dry_run": True, "jobs": list(ids)})
    else:
        exits.say(words)


class _BulkAction:
    """One action on many jobs, a few at a time."""

    def __init__(self, client: JobsClient, options: BulkOptions, results: Results, ids: list[str]) -> None:
        self._client = client
        self._options = options
        self._results = results
        self._ids = iter(ids)
        self._print_each = not options.as_json and (len(ids) <= _FEW or not sys.stdout.isatty())
        self._progress = Progress(
            TextColumn(f"{options.action}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[words]}"),
            console=Console(stderr=True),
            disable=len(ids) == 1 or not sys.stderr.isatty(),
            transient=True,
        )
        self._task = self._progress.add_task("", total=len(ids), words="")
        self._retries = ApiRetries(_RETRY_SECONDS, self._show_wait)
        self._stopped = False

    async def carry_out(self) -> None:
        """Act on every job, until the API stops answering. Raises `Refused` if no request could succeed."""
        with self._progress:
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(_AT_ONCE):
                        group.create_task(self._lane())
            except ExceptionGroup as faults:
                raise faults.exceptions[0] from faults

    async def _lane(self) -> None:
        for job_id in self._ids:
            if self._stopped:
                return
            self._results.untried -= 1
            self._results.open += 1
            await self._act(job_id)
            self._results.open -= 1
            self._progress.update(self._task, advance=1, words="")

    async def _act(self, job_id: str) -> None:
        options, key = self._options, new_key()
        unsure = False

        async def request() -> ActionOutcome:
            nonlocal unsure
            try:
                return await self._client.act(job_id, options.action, options.body, key)
            except NoAnswer as fault:
                unsure = unsure or fault.unsure
                raise

        try:
            outcome = await self._retries.call(request)
        except Rejected as fault:
            if fault.status in _LOCKED_OUT:
                raise
            earlier = "; an earlier request, which got no response, may have done it" if unsure else ""
            self._record_failure(job_id, f"{fault}{earlier}")
        except NoAnswer as fault:
            if not self._retries.reached:
                raise
            self._stopped = self._retries.silent
            self._record_failure(job_id, str(fault))
        else:
            self._results.outcomes.append(outcome)
            if self._print_each:
                exits.say(f"{job_id}  {words(options.action, outcome)}")

    def _record_failure(self, job_id: str, error: str) -> None:
        self._results.failures[job_id] = one_line(error)

    def _show_wait(self, message: str) -> None:
        self._progress.update(self._task, words=message)
        if self._progress.disable:
            exits.warn(message)


def words(action: Action, outcome: ActionOutcome) -> str:
    """The result for one job."""
    if outcome.new_job:
        reused = f"; {outcome.reused} finished calls are reused" if outcome.reused else ""
        return f"retried as {outcome.new_job}{reused}"
    return RULES[action].done if outcome.done else f"{action} requested, not done yet"


def summary(action: Action, results: Results) -> str:
    """All results in one line."""
    done = sum(outcome.done for outcome in results.outcomes)
    requested = len(results.outcomes) - done
    parts = [f"{done} {RULES[action].done}"]
    parts += [f"{requested} requested and not done yet"] if requested else []
    parts += [f"{len(results.failures)} failed"] if results.failures else []
    parts += [f"{results.open} without a response yet"] if results.open else []
    parts += [f"{results.untried} not tried"] if results.untried else []
    return f"{_counted(results.total)}: {', '.join(parts)}"


def _say_summary(options: BulkOptions, results: Results, *, interrupted: bool = False) -> None:
    if options.as_json:
        exits.say_json(document(options.action, results))
    elif results.total != 1:
        exits.say(("interrupted; " if interrupted else "") + summary(options.action, results))
    for job_id, error in results.failures.items():
        exits.warn(f"{job_id}: {error}" if job_id not in error else error)


def document(action: Action, results: Results) -> dict[str, Any]:
    """All results, as JSON for programs."""
    return {
        "action": action,
        "dry_run": False,
        "done": [outcome.job_id for outcome in results.outcomes if outcome.done],
        "requested": [outcome.job_id for outcome in results.outcomes if not outcome.done],
        "new_jobs": {outcome.job_id: outcome.new_job for outcome in results.outcomes if outcome.new_job},
        "failed": [{"job_id": job_id, "message": error} for job_id, error in results.failures.items()],
        "unanswered": results.open,
        "not_tried": results.untried,
    }


def _counted(jobs: int) -> str:
    return "1 job" if jobs == 1 else f"{jobs:,} jobs"
