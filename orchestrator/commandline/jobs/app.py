"""The commands of `orchestrator jobs`: names, options and examples. Each command imports its code when it runs."""
# ruff: noqa: PLC0415 - see above

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from orchestrator.commandline.jobs import completion
from orchestrator.commandline.jobs.selection import Selection
from orchestrator.commandline.jobs.times import moment
from orchestrator.commandline.options import ApiKey, ApiUrl, KeyDir, Overwrite, connection
from orchestrator.commandline.terminal.exits import Refused
from orchestrator.domain.jobs import JobStatus

jobs = typer.Typer(
    help="List, watch and control jobs, one or many, over the HTTP API.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

_WHICH: Final = "Which jobs"
_MAX_LIST: Final = 20

JobId = Annotated[str, typer.Argument(help="Id of the job.", autocompletion=completion.job_ids)]
Statuses = Annotated[
    list[JobStatus] | None,
    typer.Option(
        "--status",
        metavar="STATUS",
        help="Only queued, running, completed, failed or cancelled jobs; repeat it for several.",
        show_default="any",
        rich_help_panel=_WHICH,
    ),
]
Reasons = Annotated[
    list[str] | None,
    typer.Option(
        "--reason",
        help="Only open jobs with this reason, such as stuck or waiting_for_approval; repeat it for several.",
        autocompletion=completion.reasons,
        show_default="any",
        rich_help_panel=_WHICH,
    ),
]
Attention = Annotated[
    bool,
    typer.Option(
        "--needs-attention",
        help="Only jobs that need a person: stuck, failed and not retried, waiting for approval, or without a worker.",
        rich_help_panel=_WHICH,
    ),
]
Workflow = Annotated[
    str | None,
    typer.Option(
        help="Only jobs of this workflow.",
        autocompletion=completion.workflows,
        show_default="any",
        rich_help_panel=_WHICH,
    ),
]
Agent = Annotated[
    str | None,
    typer.Option(
        help="Only jobs of this agent.", autocompletion=completion.agents, show_default="any", rich_help_panel=_WHICH
    ),
]
Owner = Annotated[
    str | None,
    typer.Option(help="Only jobs of this owner; needs an admin key.", show_default="any", rich_help_panel=_WHICH),
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="AGE|TIME",
        help="Only jobs accepted since then: an age such as 30m, 2h or 7d, or a time (UTC).",
        show_default=False,
        rich_help_panel=_WHICH,
    ),
]
Before = Annotated[
    str | None,
    typer.Option(
        metavar="AGE|TIME",
        help="Only jobs accepted before then: an age or a time, as for --since.",
        show_default=False,
        rich_help_panel=_WHICH,
    ),
]
Most = Annotated[
    int | None,
    typer.Option(
        "--limit",
        min=1,
        help="Only this many of the matching jobs, the newest.",
        show_default="all",
        rich_help_panel=_WHICH,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print only one JSON document.")]


def selection(  # noqa: PLR0917 - one for each option
    status: list[JobStatus] | None,
    reason: list[str] | None,
    needs_attention: bool,
    workflow: str | None,
    agent: str | None,
    owner: str | None,
    since: str | None,
    before: str | None,
) -> Selection:
    """The filters of the options. Raises `Refused`."""
    if workflow and agent:
        raise Refused("pass --workflow or --agent, not both: a job runs one of them")
    now = datetime.now(UTC)
    return Selection(
        statuses=tuple(dict.fromkeys(status or ())),
        reasons=tuple(dict.fromkeys(code for text in reason or () for code in text.split(",") if code)),
        needs_attention=needs_attention,
        workflow=workflow,
        agent=agent,
        owner=owner,
        since=moment(since, "--since", now) if since else None,
        before=moment(before, "--before", now) if before else None,
    )


@jobs.command("list")
def list_(  # noqa: PLR0917 - options, which are given by name
    status: Statuses = None,
    reason: Reasons = None,
    needs_attention: Attention = False,
    workflow: Workflow = None,
    agent: Agent = None,
    owner: Owner = None,
    since: Since = None,
    before: Before = None,
    limit: Annotated[
        int, typer.Option(min=1, help="Only this many of the matching jobs, the newest.", rich_help_panel=_WHICH)
    ] = _MAX_LIST,
    every: Annotated[bool, typer.Option("--all", help="All matching jobs.", rich_help_panel=_WHICH)] = False,
    ids: Annotated[bool, typer.Option("--ids", help="Print only the ids, one per line.")] = False,
    as_json: AsJson = False,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    data_dir: KeyDir = None,
) -> None:
    """List jobs, newest first: your own, or those of all owners with an admin key.

    ```
    orchestrator jobs list --needs-attention
    orchestrator jobs list --reason stuck --reason no_worker
    orchestrator jobs list --workflow api_development --status failed --since 7d --all
    orchestrator jobs list --status failed --all --json | jq '.jobs[].job_id'
    ```
    """
    from orchestrator.commandline.jobs import views
    from orchestrator.commandline.terminal.console import Output

    filters = selection(status, reason, needs_attention, workflow, agent, owner, since, before)
    maximum = None if every else limit
    api = connection(api_url, api_key, data_dir)
    raise typer.Exit(views.list_jobs(api, filters, Output(), maximum=maximum, as_json=as_json, ids=ids))


@jobs.command()
def show(
    job_id: JobId, as_json: AsJson = False, api_url: ApiUrl = None, api_key: ApiKey = None, data_dir: KeyDir = None
) -> None:
    """Show one job: its state and reason, its calls with attempts, time and cost, and the command that continues it.

    ```
    orchestrator jobs show wf_job_019c
    orchestrator jobs show wf_job_019c --json | jq .reason
    ```
    """
    from orchestrator.commandline.jobs import views
    from orchestrator.commandline.terminal.console import Output

    raise typer.Exit(views.show(connection(api_url, api_key, data_dir), job_id, Output(), as_json=as_json))


@jobs.command()
def watch(  # noqa: PLR0917 - options, which are given by name
    job_id: JobId,
    as_json: Annotated[bool, typer.Option("--json", help="Print each event as one line of JSON.")] = False,
    after: Annotated[
        str, typer.Option(help="With --json: only events after the event with this id.", show_default="from the first")
    ] = "",
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    data_dir: KeyDir = None,
) -> None:
    """Follow a job live until it ends, also across restarts of the API. Ctrl-C stops only the command, not the job.

    ```
    orchestrator jobs watch wf_job_019c && deploy
    orchestrator jobs watch wf_job_019c --json | jq -r .message
    ```

    Exit code 0: the job completed. 1: it failed, timed out or was cancelled. 130: interrupted; the job continues.
    """
    from orchestrator.commandline.jobs import views
    from orchestrator.commandline.terminal.console import Output

    if after and not as_json:
        raise Refused("--after needs --json: without --json the command shows the current state, not events")
    api = connection(api_url, api_key, data_dir)
    raise typer.Exit(views.watch(api, job_id, Output(), as_json=as_json, after=after))


@jobs.command()
def output(  # noqa: PLR0917 - options, which are given by name
    job_id: JobId,
    to: Annotated[
        Path | None, typer.Option(help="Write the deliverables to this folder, as files.", show_default=False)
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    data_dir: KeyDir = None,
) -> None:
    """Print the output of a job, or write its files to a folder. For a failed job: that of its finished calls.

    ```
    orchestrator jobs output wf_job_019c > report.md
    orchestrator jobs output wf_job_019c --to files
    ```

    Exit code 1: there is no output, or not yet. 3: files that existed were kept.
    """
    from orchestrator.commandline.jobs import views
    from orchestrator.commandline.terminal.console import Output

    api = connection(api_url, api_key, data_dir)
    raise typer.Exit(views.output(api, job_id, Output(), folder=to, overwrite=overwrite, as_json=as_json))
