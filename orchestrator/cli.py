"""The `orchestrator` command: names and options. The code of the commands is in `orchestrator.commandline`.

Each command imports its module when it runs, so that `--help` and invalid options respond at once.
"""
# ruff: noqa: PLC0415 - see above

import os
import traceback
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from orchestrator import __version__
from orchestrator.commandline.doctor.collisions import refuse_shadows
from orchestrator.commandline.jobs.app import jobs
from orchestrator.commandline.jobs.completion import targets
from orchestrator.commandline.jobs.controls import add_controls
from orchestrator.commandline.options import ApiKey, ApiUrl, DataDir, Overwrite, connection, settings_of
from orchestrator.commandline.schedules.app import schedules
from orchestrator.commandline.terminal.exits import FAILED, Refused, leave, say, warn
from orchestrator.composition.imports import quick_imports
from orchestrator.domain.access import ORDINARY, KeyForm, Scope
from orchestrator.domain.errors import OrchestratorError
from orchestrator.domain.limits import Tier
from orchestrator.network.loopback import exempt_from_proxies

app = typer.Typer(
    name="orchestrator",
    help="A durable engine for multi-agent work, on Temporal.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

Host = Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is every interface.")]
ApiPort = Annotated[int, typer.Option(min=0, max=65535, help="Port of the API; 0 selects a free one.")]
UiPort = Annotated[int, typer.Option(min=0, max=65535, help="Port of the Temporal UI; 0 selects a free one.")]
TemporalPort = Annotated[int, typer.Option(min=0, max=65535, help="Port of Temporal; 0 selects a free one.")]


class Shell(StrEnum):
    """The shells with completion."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def _print_version(requested: bool) -> None:
    if requested:
        say(__version__)
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """A durable engine for multi-agent work, on Temporal."""


@app.command()
def dev(
    host: Host = "127.0.0.1",
    port: ApiPort = 8000,
    data_dir: DataDir = None,
    ui_port: UiPort = 8233,
    temporal_port: TemporalPort = 7233,
) -> None:
    """Run everything on this machine: Temporal, API and worker.

    Prints a line that begins with `ready` once jobs can run. Ctrl-C stops it; jobs continue at the next start.
    If TEMPORAL_ADDRESS is set, it uses that Temporal server and starts none.
    """
    with quick_imports():
        from orchestrator.commandline import dev_start as command

    ports = command.DevPorts(host=host, api=port, temporal=temporal_port, ui=ui_port)
    raise typer.Exit(command.run(settings_of(data_dir), ports))


@app.command()
def temporal(port: TemporalPort = 7233, ui_port: UiPort = 8233, data_dir: DataDir = None) -> None:
    """Run the Temporal development server alone."""
    from orchestrator.commandline import temporal as command

    raise typer.Exit(command.run(settings_of(data_dir), port=port, ui_port=ui_port))


@app.command()
def api(host: Host = "127.0.0.1", port: ApiPort = 8000, data_dir: DataDir = None) -> None:
    """Run the HTTP API alone. TEMPORAL_ADDRESS names Temporal, which may start later."""
    with quick_imports():
        from orchestrator.commandline import api as command

    raise typer.Exit(command.run(settings_of(data_dir), host, port))


@app.command()
def worker(
    framework: Annotated[str | None, typer.Option(help="Run only the calls of this framework's agents.")] = None,
    adapter: Annotated[
        str | None,
        typer.Option(help="The framework's adapter, as module:attribute.", show_default="the installed one"),
    ] = None,
    create_namespace: Annotated[
        bool,
        typer.Option("--create-namespace", help="Create the namespace of TEMPORAL_NAMESPACE if it does not exist."),
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Run a worker alone; any number may run. TEMPORAL_ADDRESS names Temporal; the worker waits for it."""
    with quick_imports():
        from orchestrator.commandline import worker as command

    raise typer.Exit(command.run(settings_of(data_dir), framework, adapter, create_namespace=create_namespace))


@app.command()
def run(  # noqa: PLR0917 - options, which are given by name
    target: Annotated[
        str,
        typer.Argument(help="Id of a workflow or an agent; or of a job to follow.", autocompletion=targets),
    ],
    input_: Annotated[str | None, typer.Option("--input", help="JSON, a JSON file, or - for standard input.")] = None,
    config: Annotated[str, typer.Option(help="Overrides for this job: JSON, or a JSON file.")] = "{}",
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    output_dir: Annotated[Path | None, typer.Option(help="Write the deliverables to this folder, as files.")] = None,
    overwrite: Overwrite = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print only the finished job, as JSON.")] = False,
    detach: Annotated[bool, typer.Option(help="Start the job, print its id, and exit.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Start a job, show its progress, and print its output.

    ```
    orchestrator run market_research --input '{"topic": "tea"}'
    orchestrator run api_development --input api.json --output-dir files
    ```

    Exit code 0: the job completed. 1: it failed or was cancelled. 2: invalid arguments.
    3: it completed, but files that existed were kept.
    """
    from orchestrator.commandline.run import command
    from orchestrator.commandline.terminal.console import Output

    api = connection(api_url, api_key, data_dir)
    options = command.RunOptions(
        target=target,
        input=None if input_ is None else command.read_object(input_, "--input"),
        config=command.read_object(config, "--config"),
        api=api,
        output_dir=output_dir,
        overwrite=overwrite,
        as_json=as_json,
        detach=detach,
    )
    raise typer.Exit(command.run(options, Output()))


add_controls(jobs)
app.add_typer(jobs, name="jobs")
app.add_typer(schedules, name="schedules")
keys = typer.Typer(help="API keys, issued without the API.", no_args_is_help=True)
app.add_typer(keys, name="keys")


@keys.command("create")
def keys_create(  # noqa: PLR0917 - options, which are given by name
    name: Annotated[str, typer.Option(help="Name of the key, for people.")],
    form: Annotated[KeyForm, typer.Option(help="Format of the key: dvr_sk_live_… or ao_…")] = KeyForm.DVR,
    scope: Annotated[
        list[Scope] | None, typer.Option(help="A permission; repeat it for several.", show_default="all but admin:*")
    ] = None,
    tier: Annotated[Tier, typer.Option(help="Limits of the key.")] = Tier.FREE,
    owner: Annotated[
        str | None, typer.Option(help="Owner of the jobs that the key starts and reads.", show_default="the key itself")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Issue a key and print it; it is not shown again. The key is stored in the job index of the settings."""
    from orchestrator.commandline.index import keys as command
    from orchestrator.services.access.keys import KeyRequest

    scopes = frozenset(scope) if scope else ORDINARY
    raise typer.Exit(command.create(settings_of(data_dir), KeyRequest(name, scopes, tier, owner, form=form)))


secrets = typer.Typer(help="The secret key of this installation.", no_args_is_help=True)
app.add_typer(secrets, name="secrets")


@secrets.command("rotate")
def secrets_rotate(
    apply: Annotated[bool, typer.Option("--apply", help="Reseal; without it, print only what would be done.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Reseal stored secrets with ORCHESTRATOR_SECRET_KEY, and report what still needs the fallback key.

    Set the old key as ORCHESTRATOR_SECRET_KEY_FALLBACK. After an interruption, run the command again. Exit code 1
    while there is something to reseal.
    """
    from orchestrator.commandline.index import secrets as command

    raise typer.Exit(command.rotate(settings_of(data_dir), apply=apply))


audit = typer.Typer(help="The audit trail, without the API.", no_args_is_help=True)
app.add_typer(audit, name="audit")


@audit.command("verify")
def audit_verify(data_dir: DataDir = None) -> None:
    """Verify that the audit trail is unchanged.

    Exit code 0: it is unchanged. 1: an entry was changed, removed or added; the command names the first such entry.
    """
    from orchestrator.commandline.index import audit as command

    raise typer.Exit(command.verify(settings_of(data_dir)))


@audit.command("export")
def audit_export(
    after: Annotated[int, typer.Option(min=0, help="Start after the entry with this id.")] = 0, data_dir: DataDir = None
) -> None:
    """Print the audit trail as JSON, one entry per line, oldest first."""
    from orchestrator.commandline.index import audit as command

    raise typer.Exit(command.export(settings_of(data_dir), after))


@app.command()
def bind(
    namespace: Annotated[
        bool, typer.Option("--namespace", help="Bind to the namespace of the TEMPORAL_* variables.")
    ] = False,
    secret_key: Annotated[
        bool,
        typer.Option(
            "--secret-key", help="Bind to this secret key. API keys and webhook secrets of the old key are lost."
        ),
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Bind the job index to another Temporal namespace or secret key, for example after a new setup of Temporal."""
    from orchestrator.commandline.index import bind as command

    raise typer.Exit(command.run(settings_of(data_dir), namespace=namespace, secret_key=secret_key))


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    port: Annotated[int | None, typer.Option(help="Port of the API.", show_default="8000")] = None,
    temporal_port: Annotated[int | None, typer.Option(help="Port of Temporal.", show_default="7233")] = None,
    ui_port: Annotated[int | None, typer.Option(help="Port of the Temporal UI.", show_default="8233")] = None,
    data_dir: DataDir = None,
) -> None:
    """Check this installation: report problems and how to fix them. Exit code 1 if a check failed."""
    with quick_imports():
        from orchestrator.commandline.doctor import command
        from orchestrator.commandline.terminal.console import Output

    ports = (port, temporal_port, ui_port)
    raise typer.Exit(command.run(settings_of(data_dir), None if as_json else Output(), ports))


@app.command()
def completion(shell: Annotated[Shell, typer.Argument(help="Name of the shell.")]) -> None:
    """Print the completion script of a shell, for commands, options and ids.

    ```
    eval "$(orchestrator completion bash)"        # in ~/.bashrc
    eval "$(orchestrator completion zsh)"         # in ~/.zshrc, after compinit
    orchestrator completion fish | source         # in ~/.config/fish/config.fish
    ```
    """
    os.environ["_ORCHESTRATOR_COMPLETE"] = f"source_{shell}"  # the library's switch to print the script
    app(prog_name="orchestrator")


@app.command()
def version() -> None:
    """Print the version."""
    say(__version__)


def main() -> NoReturn:
    """Run the command and end the process with its exit code."""
    exempt_from_proxies(os.environ)
    try:
        refuse_shadows()
        app(prog_name="orchestrator")
        code = 0
    except SystemExit as end:
        code = _exit_code(end)
    except Refused as fault:
        code = _fail(str(fault), fault.code)
    except BrokenPipeError:
        code = FAILED  # the reader closed the pipe, as `head` does: no message reaches it
    except OrchestratorError as fault:
        code = _fail(fault.for_operators, FAILED)
    except BaseException:  # noqa: BLE001 - the process edge: no exception may reach the interpreter's own exit
        code = _fail(traceback.format_exc(), FAILED)
    leave(code)


def _exit_code(end: SystemExit) -> int:
    """The exit code of typer. A `SystemExit` of other code, which a command imported or ran, is an error."""
    place = traceback.extract_tb(end.__traceback__)[-1]
    if Path(typer.__file__).parent in Path(place.filename).parents:
        return end.code if isinstance(end.code, int) else FAILED
    return _fail(f"SystemExit ended the program: {end} ({place.filename}, line {place.lineno})", FAILED)


def _fail(message: str, code: int) -> int:
    warn(message)
    return code
