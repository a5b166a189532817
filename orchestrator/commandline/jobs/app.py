"""The commands of `orchestrator jobs`: names, options and examples. Each command imports its code when it runs."""
# ruff: noqa: PLC0415 - see above

from pathlib import Path
from typing import Annotated, Final

import typer

from orchestrator.commandline.jobs import completion
from orchestrator.commandline.jobs.filters import WHICH, with_filters
from orchestrator.commandline.jobs.selection import Selection
from orchestrator.commandline.options import ApiKey, ApiUrl, KeyDir, Overwrite, connection
from orchestrator.commandline.terminal.exits import Refused

jobs = typer.Typer(
    help="List, watch and control jobs, one or many, over the HTTP API.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

_MAX_LIST: Final = 20

JobId = Annotated[str, typer.Argument(help="Id of the job.", autocompletion=completion.job_ids)]
AsJson = Annotated[bool, typer.Option("--json", help="Print only one JSON document.")]


@jobs.command("list")
@with_filters
def list_(
    *,
    filters: Selection,
    limit: Annotated[
        int, typer.Option(min=1, help="Only this many of the matching jobs, the newest.", rich_help_panel=WHICH)
    ] = _MAX_LIST,
    every: Annotated[bool, typer.Option("--all", help="All matching jobs.", rich_help_panel=WHICH)] = False,
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


@jobs.command()
def answer(  # noqa: PLR0917 - options, which are given by name
    job_id: JobId,
    values: Annotated[
        list[str] | None,
        typer.Argument(help="Values of the form, as FIELD=VALUE.", metavar="FIELD=VALUE...", show_default=False),
    ] = None,
    step: Annotated[
        str | None, typer.Option(help="The question; needed if several wait.", show_default="the question that waits")
    ] = None,
    note: Annotated[str, typer.Option(help="A note for the readers of the job's events.", show_default=False)] = "",
    as_json: AsJson = False,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    data_dir: KeyDir = None,
) -> None:
    """Answer the question of a job that waits for a person. `orchestrator jobs show` lists its fields.

    ```
    orchestrator jobs answer wf_job_019c street="Long Street 5" express=true
    orchestrator jobs answer job_019c approved=true 'arguments={"amount": 5}' --step desk.refund.t3.1
    ```

    A wrong value is refused by its field, and nothing happens (exit code 2). Exit code 1: the answer was not taken.
    """
    from orchestrator.commandline.jobs import answers

    api = connection(api_url, api_key, data_dir)
    raise typer.Exit(answers.answer(api, job_id, values or [], step=step, note=note, as_json=as_json))
