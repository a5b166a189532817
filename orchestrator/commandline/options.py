"""Options that several commands share, and what they select: the settings, and the API with its key."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from orchestrator.commandline.admin_key import with_stored_key
from orchestrator.commandline.api_url import read_url
from orchestrator.commandline.terminal.exits import Refused
from orchestrator.settings import Settings

_CONNECTION: Final = "Connection"
_NOT_JSON: Final = re.compile(r'error parsing value for field "(\w+)"')

DataDir = Annotated[
    Path | None,
    typer.Option(help="Directory for this machine's files.", show_default="ORCHESTRATOR_DATA_DIR, or .orchestrator"),
]
ApiUrl = Annotated[
    str | None,
    typer.Option(
        help="Address of the API.",
        show_default="ORCHESTRATOR_API_URL, that of a running `orchestrator dev`, or http://127.0.0.1:8000",
        rich_help_panel=_CONNECTION,
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        help="API key.",
        show_default="ORCHESTRATOR_API_KEY, ORCHESTRATOR_ADMIN_API_KEY, or the key of the data directory",
        rich_help_panel=_CONNECTION,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist; without it they are kept.")]
KeyDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Directory in which the API's key is looked up, on the API's machine.",
        show_default="ORCHESTRATOR_DATA_DIR, or .orchestrator",
        rich_help_panel=_CONNECTION,
    ),
]


@dataclass(frozen=True, slots=True)
class Connection:
    """An API and the key for it. `flag` is the `--api-url` option to add to suggested commands, or empty."""

    url: str
    key: str
    flag: str = ""


def settings_of(data_dir: Path | None) -> Settings:
    """The settings. Raises `Refused` with the variables that are invalid."""
    try:
        return Settings() if data_dir is None else Settings(data_dir=data_dir)
    except ValidationError as fault:
        errors = "; ".join(f"{_variable(*e['loc'])}: {_reason(e)}" for e in fault.errors(include_input=False))
        raise Refused(f"invalid settings: {errors}") from fault
    except UnicodeDecodeError as fault:
        raise Refused(f"cannot read the settings: the file .env is not UTF-8 ({fault.reason})") from fault
    except SettingsError as fault:
        raise Refused(f"invalid settings: {_sentence(fault)}") from fault


def connection(api_url: str | None, api_key: str | None, data_dir: Path | None) -> Connection:
    """The API that the options select, and the key for it. Raises `Refused` if there is no key."""
    settings = with_stored_key(settings_of(data_dir))
    default = next((key.get_secret_value() for key in (settings.api_key, settings.admin_api_key) if key), None)
    key = api_key or default
    if key is None:
        raise Refused(
            f"no API key: pass --api-key, set ORCHESTRATOR_API_KEY, or select the data directory of "
            f"`orchestrator dev` with --data-dir ({settings.data_dir} has no key)"
        )
    local_url = None if "api_url" in settings.model_fields_set else read_url(settings.data_dir)
    return Connection(api_url or local_url or settings.api_url, key, f" --api-url {api_url}" if api_url else "")


def _sentence(fault: SettingsError) -> str:
    """The error as a sentence. If a value is not JSON, the library names only the field; this names the variable."""
    field = _NOT_JSON.search(str(fault))
    return f"{_variable(field[1])}: not valid JSON: {fault.__cause__}" if field else str(fault)


def _reason(error: ErrorDetails) -> str:
    match error["type"]:
        case "string_too_short" | "too_short":
            return f"expected at least {error['ctx']['min_length']} characters"
        case "string_pattern_mismatch":
            return "expected the format that docs/operating.md shows for it"
        case _:
            return error["msg"].removeprefix("Value error, ")


def _variable(field: str | int, *inside: str | int) -> str:
    """The environment variable of a field, and the location inside its value."""
    name = f"ORCHESTRATOR_{str(field).upper()}" if field in Settings.model_fields else field
    return ".".join(map(str, (name, *inside)))
