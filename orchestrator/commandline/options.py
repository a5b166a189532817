"""Options that several commands take, and what they stand for: the settings, and the API with its key."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from orchestrator.commandline.admin_key import with_kept_key
from orchestrator.commandline.kept_url import read_url
from orchestrator.commandline.terminal.exits import Refused
from orchestrator.settings import Settings

_CONNECTION: Final = "Connection"
_NOT_JSON: Final = re.compile(r'error parsing value for field "(\w+)"')

DataDir = Annotated[
    Path | None,
    typer.Option(help="Where this machine's files are kept.", show_default="ORCHESTRATOR_DATA_DIR, or .orchestrator"),
]
ApiUrl = Annotated[
    str | None,
    typer.Option(
        help="Where the API is.",
        show_default="ORCHESTRATOR_API_URL, that of `orchestrator dev` here, or http://127.0.0.1:8000",
        rich_help_panel=_CONNECTION,
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        help="API key.",
        show_default="ORCHESTRATOR_API_KEY, ORCHESTRATOR_ADMIN_API_KEY, or the data directory's own",
        rich_help_panel=_CONNECTION,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist; they are kept otherwise.")]
KeyDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Where the API's key is looked for, on its own machine.",
        show_default="ORCHESTRATOR_DATA_DIR, or .orchestrator",
        rich_help_panel=_CONNECTION,
    ),
]


@dataclass(frozen=True, slots=True)
class Connection:
    """An API and the key for it. `flag` repeats the address in advice, where it is not found without."""

    url: str
    key: str
    flag: str = ""


def settings_of(data_dir: Path | None) -> Settings:
    """The settings. Raises `Refused` with the variables that are wrong."""
    try:
        return Settings() if data_dir is None else Settings(data_dir=data_dir)
    except ValidationError as fault:
        wrong = "; ".join(f"{_variable(*e['loc'])}: {_reason(e)}" for e in fault.errors(include_input=False))
        raise Refused(f"the settings are not valid: {wrong}") from fault
    except UnicodeDecodeError as fault:
        raise Refused(f"the settings cannot be read: the file .env is not UTF-8 ({fault.reason})") from fault
    except SettingsError as fault:
        raise Refused(f"the settings are not valid: {_sentence(fault)}") from fault


def connection(api_url: str | None, api_key: str | None, data_dir: Path | None) -> Connection:
    """The API to talk to and the key for it. Raises `Refused` if there is no key."""
    settings = with_kept_key(settings_of(data_dir))
    known = next((key.get_secret_value() for key in (settings.api_key, settings.admin_api_key) if key), None)
    key = api_key or known
    if key is None:
        raise Refused(
            f"no API key: give one with --api-key or in ORCHESTRATOR_API_KEY, or run this where `orchestrator dev` "
            f"keeps its own (looked in {settings.data_dir})"
        )
    beside = None if "api_url" in settings.model_fields_set else read_url(settings.data_dir)
    return Connection(api_url or beside or settings.api_url, key, f" --api-url {api_url}" if api_url else "")


def _sentence(fault: SettingsError) -> str:
    """The fault in words; the library names the field of a value that should be JSON, and not its variable."""
    field = _NOT_JSON.search(str(fault))
    return f"{_variable(field[1])}: it is not JSON: {fault.__cause__}" if field else str(fault)


def _reason(error: ErrorDetails) -> str:
    match error["type"]:
        case "string_too_short" | "too_short":
            return f"it is too short: {error['ctx']['min_length']} characters are the least"
        case "string_pattern_mismatch":
            return "it does not have the form that docs/operating.md shows for it"
        case _:
            return error["msg"].removeprefix("Value error, ")


def _variable(field: str | int, *inside: str | int) -> str:
    """The environment variable of a field, and the place inside its value."""
    name = f"ORCHESTRATOR_{str(field).upper()}" if field in Settings.model_fields else field
    return ".".join(map(str, (name, *inside)))
