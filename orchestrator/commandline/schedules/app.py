"""The commands of `orchestrator schedules`: names, options and examples. Each command imports its code when it runs."""
# ruff: noqa: PLC0415 - see above

from typing import Annotated, Any, Final

import typer

from orchestrator.commandline.jobs.app import AsJson
from orchestrator.commandline.jobs.completion import targets
from orchestrator.commandline.options import ApiKey, ApiUrl, KeyDir, connection
from orchestrator.domain.schedules import Overlap

schedules = typer.Typer(
    help="Schedules: jobs that start at their times, over the HTTP API.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

_TIMES: Final = "Times"
ScheduleId = Annotated[str, typer.Argument(help="Id of the schedule.")]
Note = Annotated[str, typer.Option(help="Why, for the readers of the schedule.", show_default=False)]
OverlapOption = Annotated[
    Overlap | None, typer.Option(help="What happens while the last run has not ended.", show_default="skip")
]


@schedules.command("list")
def list_(as_json: AsJson = False, api_url: ApiUrl = None, api_key: ApiKey = None, data_dir: KeyDir = None) -> None:
    """List schedules, oldest first: your own, or those of all owners with an admin key.

    ```
    orchestrator schedules list
    orchestrator schedules list --json | jq '.schedules[].schedule_id'
    ```
    """
    from orchestrator.commandline.schedules import views
    from orchestrator.commandline.terminal.console import Output

    raise typer.Exit(views.list_schedules(connection(api_url, api_key, data_dir), Output(), as_json=as_json))


@schedules.command()
def show(
    schedule_id: ScheduleId,
    as_json: AsJson = False,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    data_dir: KeyDir = None,
) -> None:
    """Show one schedule: its next five times and its last runs.

    ```
    orchestrator schedules show sch_019c
    ```
    """
    from orchestrator.commandline.schedules import views

    raise typer.Exit(views.show(connection(api_url, api_key, data_dir), schedule_id, as_json=as_json))


@schedules.command()
def create(  # noqa: PLR0917 - options, which are given by name
    target: Annotated[str, typer.Argument(help="Id of a workflow or an agent.", autocompletion=targets)],
    input_: Annotated[str, typer.Option("--input", help="JSON, a JSON file, or - for standard input.")] = "{}",
    cron: Annotated[
        list[str] | None,
        typer.Option(help="Five fields, such as '0 6 * * MON-FRI'; may be repeated.", rich_help_panel=_TIMES),
    ] = None,
    every: Annotated[
        str | None, typer.Option(help="An interval, such as 90m, 6h or 1d.", show_default=False, rich_help_panel=_TIMES)
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option(help="Of --cron, such as Europe/Paris.", show_default="UTC", rich_help_panel=_TIMES),
    ] = None,
    spec: Annotated[
        str | None,
        typer.Option(
            help="All times as the API takes them, instead of the others: JSON, a JSON file, or -.",
            show_default=False,
            rich_help_panel=_TIMES,
        ),
    ] = None,
    overlap: OverlapOption = None,
    name: Annotated[str | None, typer.Option(help="Name for people.", show_default=False)] = None,
    paused: Annotated[bool, typer.Option("--paused", help="Create it paused.")] = False,
    note: Note = "",
    as_json: AsJson = False,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    data_dir: KeyDir = None,
) -> None:
    """Create a schedule of a workflow or an agent, and show its next five times.

    ```
    orchestrator schedules create market_research --input tea.json --cron '0 6 * * MON-FRI' --time-zone Europe/Paris
    orchestrator schedules create acme_report --input report.json --every 6h --overlap buffer_one
    ```
    """
    from orchestrator.commandline.run.command import read_object
    from orchestrator.commandline.schedules import views
    from orchestrator.commandline.schedules.times import times_of

    body: dict[str, Any] = {
        "input": read_object(input_, "--input"),
        "spec": times_of(cron or [], every, time_zone, None if spec is None else read_object(spec, "--spec")),
        "paused": paused,
        **{key: value for key, value in (("overlap", overlap), ("name", name), ("note", note)) if value},
    }
    raise typer.Exit(views.create(connection(api_url, api_key, data_dir), target, body, as_json=as_json))


@schedules.command()
def pause(  # noqa: PLR0917 - options, which are given by name
    schedule_id: ScheduleId,
    note: Note = "",
    as_json: AsJson = False,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    data_dir: KeyDir = None,
) -> None:
    """Pause a schedule: it starts no runs until it is resumed. Running jobs continue.

    ```
    orchestrator schedules pause sch_019c --note "provider maintenance"
    ```
    """
    from orchestrator.commandline.schedules import views

    api = connection(api_url, api_key, data_dir)
    raise typer.Exit(views.pause(api, schedule_id, note, paused=True, as_json=as_json))


@schedules.command()
def resume(  # noqa: PLR0917 - options, which are given by name
    schedule_id: ScheduleId,
    note: Note = "",
    as_json: AsJson = False,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    data_dir: KeyDir = None,
) -> None:
    """Resume a paused schedule.

    ```
    orchestrator schedules resume sch_019c --note "maintenance is over"
    ```
    """
    from orchestrator.commandline.schedules import views

    api = connection(api_url, api_key, data_dir)
    raise typer.Exit(views.pause(api, schedule_id, note, paused=False, as_json=as_json))


@schedules.command()
def trigger(  # noqa: PLR0917 - options, which are given by name
    schedule_id: ScheduleId,
    overlap: OverlapOption = None,
    as_json: AsJson = False,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    data_dir: KeyDir = None,
) -> None:
    """Start a run now, also while the schedule is paused, and print the id of its job.

    ```
    orchestrator jobs watch $(orchestrator schedules trigger sch_019c)
    ```

    Exit code 1: the overlap policy holds the run back.
    """
    from orchestrator.commandline.schedules import views

    api = connection(api_url, api_key, data_dir)
    raise typer.Exit(views.trigger(api, schedule_id, overlap, as_json=as_json))


@schedules.command()
def delete(
    schedule_id: ScheduleId,
    as_json: AsJson = False,
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    data_dir: KeyDir = None,
) -> None:
    """Delete a schedule. Its running jobs continue.

    ```
    orchestrator schedules delete sch_019c
    ```
    """
    from orchestrator.commandline.schedules import views

    raise typer.Exit(views.delete(connection(api_url, api_key, data_dir), schedule_id, as_json=as_json))
