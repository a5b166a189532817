"""The `orchestrator` command: names and options; what they do is in `orchestrator.commandline`.

Each command imports its own module when it runs, so that `--help` and wrong options are answered at once.
"""
# ruff: noqa: PLC0415 - see above

import gc
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
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
from orchestrator.commandline.terminal.exits import FAILED, Refused, leave, say, warn
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
ApiPort = Annotated[int, typer.Option(min=0, max=65535, help="Port of the API; 0 takes a free one.")]
UiPort = Annotated[int, typer.Option(min=0, max=65535, help="Port of the Temporal UI; 0 takes a free one.")]
TemporalPort = Annotated[int, typer.Option(min=0, max=65535, help="Port of Temporal; 0 takes a free one.")]


class Shell(StrEnum):
    """Shells whose completion is printed."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def _say_version(wanted: bool) -> None:
    if wanted:
        say(__version__)
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_say_version, is_eager=True)
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

    Prints a line that begins with `ready` once jobs can run. Ctrl-C stops it; jobs go on at the next start.
    With TEMPORAL_ADDRESS set, that Temporal server is used and none is started.
    """
    with _quick_import():
        from orchestrator.commandline import dev as command

    ports = command.DevPorts(host=host, api=port, temporal=temporal_port, ui=ui_port)
    raise typer.Exit(command.run(settings_of(data_dir), ports))


@app.command()
def temporal(port: TemporalPort = 7233, ui_port: UiPort = 8233, data_dir: DataDir = None) -> None:
    """Run the Temporal development server alone."""
    from orchestrator.commandline import temporal as command

    raise typer.Exit(command.run(settings_of(data_dir), port=port, ui_port=ui_port))


@app.command()
def api(host: Host = "127.0.0.1", port: ApiPort = 8000, data_dir: DataDir = None) -> None:
    """Run the HTTP API alone. It finds Temporal through TEMPORAL_ADDRESS, which may come up later."""
    with _quick_import():
        from orchestrator.commandline import api as command

    raise typer.Exit(command.run(settings_of(data_dir), host, port))


@app.command()
def worker(
    framework: Annotated[
        str | None, typer.Option(help="Take the calls of this framework's agents, and nothing else.")
    ] = None,
    adapter: Annotated[
        str | None,
        typer.Option(help="The framework's adapter, as module:attribute.", show_default="what is installed for it"),
    ] = None,
    create_namespace: Annotated[
        bool, typer.Option("--create-namespace", help="Create the namespace of TEMPORAL_NAMESPACE if there is none.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Run a worker alone; any number may run. It finds Temporal through TEMPORAL_ADDRESS and waits for it."""
    with _quick_import():
        from orchestrator.commandline import worker as command

    raise typer.Exit(command.run(settings_of(data_dir), framework, adapter, create_namespace=create_namespace))


@app.command()
def run(  # noqa: PLR0917 - options, which are given by name
    target: Annotated[
        str,
        typer.Argument(help="Id of a workflow or an agent; or of a job, to follow it.", autocompletion=targets),
    ],
    input_: Annotated[str | None, typer.Option("--input", help="JSON, a JSON file, or - for standard input.")] = None,
    config: Annotated[str, typer.Option(help="What to override: JSON, or a JSON file.")] = "{}",
    api_url: ApiUrl = None,
    api_key: ApiKey = None,
    output_dir: Annotated[Path | None, typer.Option(help="Leave the deliverables here, as files.")] = None,
    overwrite: Overwrite = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the job at its end as JSON, nothing else.")] = False,
    detach: Annotated[bool, typer.Option(help="Start the job, print its id, and go.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Start a job, show it as it goes, and print what came of it.

    ```
    orchestrator run market_research --input '{"topic": "tea"}'
    orchestrator run api_development --input api.json --output-dir files
    ```

    Exit code 0: the job completed. 1: it failed or was cancelled. 2: invalid arguments.
    3: it completed, and files that exist already were kept.
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
keys = typer.Typer(help="Keys of callers, issued without the API.", no_args_is_help=True)
app.add_typer(keys, name="keys")


@keys.command("create")
def keys_create(  # noqa: PLR0917 - options, which are given by name
    name: Annotated[str, typer.Option(help="For people.")],
    form: Annotated[KeyForm, typer.Option(help="What it looks like: dvr_sk_live_… or ao_…")] = KeyForm.DVR,
    scope: Annotated[
        list[Scope] | None, typer.Option(help="What it may; once for each.", show_default="all but admin:*")
    ] = None,
    tier: Annotated[Tier, typer.Option(help="Its limits.")] = Tier.FREE,
    owner: Annotated[str | None, typer.Option(help="Whose jobs it starts and sees.", show_default="its own")] = None,
    data_dir: DataDir = None,
) -> None:
    """Issue a key and print it, this once. It is written to the job index that the settings name."""
    from orchestrator.commandline.index import keys as command
    from orchestrator.services.access.keys import KeyRequest

    scopes = frozenset(scope) if scope else ORDINARY
    raise typer.Exit(command.create(settings_of(data_dir), KeyRequest(name, scopes, tier, owner, form=form)))


secrets = typer.Typer(help="The secret key of this installation.", no_args_is_help=True)
app.add_typer(secrets, name="secrets")


@secrets.command("rotate")
def secrets_rotate(
    apply: Annotated[bool, typer.Option("--apply", help="Do it; without this it only says what it would do.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Reseal stored secrets with ORCHESTRATOR_SECRET_KEY, and say what still needs the fallback key.

    Set the old key as ORCHESTRATOR_SECRET_KEY_FALLBACK. Interrupted, it goes on where it was. Exit code 1 while
    something is left to do.
    """
    from orchestrator.commandline.index import secrets as command

    raise typer.Exit(command.rotate(settings_of(data_dir), apply=apply))


audit = typer.Typer(help="The audit trail, without the API.", no_args_is_help=True)
app.add_typer(audit, name="audit")


@audit.command("verify")
def audit_verify(data_dir: DataDir = None) -> None:
    """Look whether the audit trail is what was written.

    Exit code 0: it is whole. 1: an entry was changed, removed or added; the first such one is named.
    """
    from orchestrator.commandline.index import audit as command

    raise typer.Exit(command.verify(settings_of(data_dir)))


@audit.command("export")
def audit_export(
    after: Annotated[int, typer.Option(min=0, help="Begin after the entry with this id.")] = 0, data_dir: DataDir = None
) -> None:
    """Print the audit trail, oldest first, as one JSON object a line."""
    from orchestrator.commandline.index import audit as command

    raise typer.Exit(command.export(settings_of(data_dir), after))


@app.command()
def bind(
    namespace: Annotated[bool, typer.Option("--namespace", help="To the namespace that TEMPORAL_* names.")] = False,
    secret_key: Annotated[
        bool,
        typer.Option("--secret-key", help="To this secret key: keys and webhook secrets of the old one are lost."),
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Have the job index belong to another Temporal namespace or secret key, after Temporal was set up anew."""
    from orchestrator.commandline.index import bind as command

    raise typer.Exit(command.run(settings_of(data_dir), namespace=namespace, secret_key=secret_key))


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    port: Annotated[int | None, typer.Option(help="Port that the API shall have.", show_default="8000")] = None,
    temporal_port: Annotated[int | None, typer.Option(help="Port of Temporal.", show_default="7233")] = None,
    ui_port: Annotated[int | None, typer.Option(help="Port of the Temporal UI.", show_default="8233")] = None,
    data_dir: DataDir = None,
) -> None:
    """Check this installation: what is wrong, and how to mend it. Exit code 1 when a check failed."""
    with _quick_import():
        from orchestrator.commandline.doctor import command
        from orchestrator.commandline.terminal.console import Output

    ports = (port, temporal_port, ui_port)
    raise typer.Exit(command.run(settings_of(data_dir), None if as_json else Output(), ports))


@app.command()
def completion(shell: Annotated[Shell, typer.Argument(help="Which shell.")]) -> None:
    """Print the script that completes commands, options and ids in a shell.

    ```
    eval "$(orchestrator completion bash)"        # in ~/.bashrc
    eval "$(orchestrator completion zsh)"         # in ~/.zshrc, after compinit
    orchestrator completion fish | source         # in ~/.config/fish/config.fish
    ```
    """
    os.environ["_ORCHESTRATOR_COMPLETE"] = f"source_{shell}"  # how the library is asked for it
    app(prog_name="orchestrator")


@app.command()
def version() -> None:
    """Print the version."""
    say(__version__)


def main() -> NoReturn:
    """Run the command and end the process with its exit code (architecture, rule 9)."""
    exempt_from_proxies(os.environ)
    try:
        refuse_shadows()
        app(prog_name="orchestrator")
        code = 0
    except SystemExit as end:
        code = _exit_code(end)
    except Refused as fault:
        code = _told(str(fault), fault.code)
    except BrokenPipeError:
        code = FAILED  # whoever read the output has gone, as `head` does, and hears nothing
    except OrchestratorError as fault:
        code = _told(fault.for_operators, FAILED)
    except BaseException:  # noqa: BLE001 - the process edge: nothing may reach the interpreter's own exit
        code = _told(traceback.format_exc(), FAILED)
    leave(code)


@contextmanager
def _quick_import() -> Iterator[None]:
    """Import without the garbage collector, which would take a sixth of the time and find nothing."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _exit_code(end: SystemExit) -> int:
    """The code of typer's own exit; any other one comes from code that a command imported or ran, and is a fault."""
    place = traceback.extract_tb(end.__traceback__)[-1]
    if Path(typer.__file__).parent in Path(place.filename).parents:
        return end.code if isinstance(end.code, int) else FAILED
    return _told(f"the program was ended by SystemExit: {end} ({place.filename}, line {place.lineno})", FAILED)


def _told(message: str, code: int) -> int:
    warn(message)
    return code
