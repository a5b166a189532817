"""The commands of `orchestrator jobs` that change jobs. All take ids or filters; some take a note or a step."""
# ruff: noqa: PLC0415 - imported when a command runs

import inspect
import sys
from typing import Annotated, Any, Final

import typer

from orchestrator.commandline.jobs import completion
from orchestrator.commandline.jobs.actions import Action
from orchestrator.commandline.jobs.app import AsJson
from orchestrator.commandline.jobs.filters import WHICH, with_filters
from orchestrator.commandline.jobs.selection import Selection
from orchestrator.commandline.options import ApiKey, ApiUrl, KeyDir, connection
from orchestrator.commandline.terminal.exits import Refused

JobIds = Annotated[
    list[str] | None,
    typer.Argument(
        help="Ids of jobs; - reads them from standard input, one per line.",
        autocompletion=completion.job_ids,
        show_default=False,
    ),
]
Most = Annotated[
    int | None,
    typer.Option(
        "--limit",
        min=1,
        help="Only this many of the matching jobs, the newest.",
        show_default="all",
        rich_help_panel=WHICH,
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Act on the jobs of a filter without a question.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the jobs of a filter, and do nothing.")]
Note = Annotated[str, typer.Option(help="A note for the readers of the job's events.", show_default=False)]
Step = Annotated[
    str | None, typer.Option(help="The waiting step; needed if several wait.", show_default="the step that waits")
]

_CODES: Final = """Jobs of a filter are counted first; nothing is done without `--yes` or a yes on a terminal.
Exit code 0: all done or requested. 1: some failed; they are named. 2: invalid arguments. 130: interrupted."""
_HELP: Final = {
    Action.CANCEL: """Cancel open jobs and stop their running model calls.

    ```
    orchestrator jobs cancel wf_job_019c --note "not needed any more"
    orchestrator jobs cancel --reason stuck --workflow api_development
    orchestrator jobs cancel --status queued --before 2d --yes
    ```
    """,
    Action.PAUSE: """Start no new calls in open jobs; running calls finish.

    ```
    orchestrator jobs pause --workflow market_research --note "provider maintenance" --yes
    ```
    """,
    Action.RESUME: """Continue paused jobs.

    ```
    orchestrator jobs resume --workflow market_research --yes
    ```
    """,
    Action.APPROVE: """Approve steps that wait for a person; they run.

    ```
    orchestrator jobs approve wf_job_019c --step cutover --note "window agreed"
    orchestrator jobs list --reason waiting_for_approval
    ```
    """,
    Action.REJECT: """Reject steps that wait for a person; a rejected step counts as failed.

    ```
    orchestrator jobs reject wf_job_019c --step cutover --note "not this week"
    ```
    """,
    Action.RETRY: """Retry jobs that failed, timed out or were cancelled. Each one continues as a new job.

    The new job reuses finished calls, which are not charged again. A filter selects failed jobs that were not retried
    yet; add `--status cancelled` for cancelled ones.

    ```
    orchestrator jobs retry wf_job_019c
    orchestrator jobs retry --workflow api_development --since 2h --yes
    ```
    """,
}
_LACKS: Final = {
    Action.CANCEL: {"step"},
    Action.PAUSE: {"step"},
    Action.RESUME: {"step"},
    Action.RETRY: {"step", "note"},
}


def _body(action: Action, note: str, step: str | None) -> dict[str, Any]:
    """The request body. The API names the note of a cancellation `reason`."""
    body: dict[str, Any] = {"reason" if action is Action.CANCEL else "note": note} if note else {}
    return {**body, "step": step} if step else body


def _job_ids(ids: list[str] | None) -> tuple[str, ...]:
    """The ids, including those of standard input. Raises `Refused` if standard input is empty."""
    arguments = ids or []
    if "-" not in arguments:
        return tuple(arguments)
    lines = [line.strip() for line in sys.stdin.read().splitlines() if line.strip()]
    if not lines:
        raise Refused("no job ids on standard input: expected one per line")
    return (*(job_id for job_id in arguments if job_id != "-"), *lines)


def add_controls(jobs: typer.Typer) -> None:
    """Add a command for each action."""
    for action in Action:
        _add(jobs, action)


def _add(jobs: typer.Typer, action: Action) -> None:
    @with_filters
    def control(
        *,
        ids: JobIds = None,
        note: Note = "",
        step: Step = None,
        yes: Yes = False,
        dry_run: DryRun = False,
        as_json: AsJson = False,
        filters: Selection,
        limit: Most = None,
        api_url: ApiUrl = None,
        api_key: ApiKey = None,
        data_dir: KeyDir = None,
    ) -> None:
        from orchestrator.commandline.jobs import bulk
        from orchestrator.commandline.terminal.console import Output

        options = bulk.BulkOptions(
            action=action,
            ids=_job_ids(ids),
            selection=filters,
            body=_body(action, note, step),
            maximum=limit,
            yes=yes,
            dry_run=dry_run,
            as_json=as_json,
        )
        raise typer.Exit(bulk.run(options, connection(api_url, api_key, data_dir), Output()))

    # An action lacks options that its route does not take.
    signature = inspect.signature(control)
    parameters = [option for option in signature.parameters.values() if option.name not in _LACKS.get(action, set())]
    control.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    jobs.command(str(action), help=f"{inspect.cleandoc(_HELP[action])}\n\n{_CODES}")(control)
