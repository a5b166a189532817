"""The files of `temporal/`: server settings, search attributes and the Go module of the development server."""

import json
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

DYNAMIC_CONFIG: Final = "dynamicconfig.yaml"
SEARCH_ATTRIBUTES: Final = "search-attributes.json"
DEVSERVER_MODULE: Final = "devserver"

# A link to the folder in the checkout, the folder itself in the wheel.
_FOLDER = Path(__file__).parent / "temporal_files"


class _Setting(BaseModel):
    """A value in the server's settings format. The development server does not support constraints."""

    model_config = ConfigDict(extra="forbid", strict=True)

    value: bool | int | float | str
    constraints: Annotated[dict[str, Any], Field(max_length=0)] = {}


_SETTINGS = TypeAdapter(dict[str, Annotated[list[_Setting], Field(min_length=1, max_length=1)]])


def server_file(name: str) -> Path:
    """The path of a file or folder of `temporal/`."""
    return _FOLDER / name


def dynamic_config(source: Path | None = None) -> dict[str, bool | int | float | str]:
    """The server settings of `temporal/dynamicconfig.yaml` by key.

    Raises pydantic's `ValidationError` for a value that the development server does not support.
    """
    import yaml  # noqa: PLC0415 - slow to import, and only a process with a server reads it

    text = (source or server_file(DYNAMIC_CONFIG)).read_text()
    return {key: entries[0].value for key, entries in _SETTINGS.validate_python(yaml.safe_load(text)).items()}


def search_attributes() -> dict[str, str]:
    """The search attributes of jobs: name to type (`Keyword`, …)."""
    return TypeAdapter(dict[str, str]).validate_python(json.loads(server_file(SEARCH_ATTRIBUTES).read_text()))
