"""The bootstrap API key of a data directory: created once, readable only by its owner."""

import os
import secrets
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from orchestrator.commandline.terminal.exits import Refused
from orchestrator.settings import Settings

PREFIX: Final = "dvr_sk_live_"
_FILE: Final = "admin-api-key"


def key_file(data_dir: Path) -> Path:
    """The file that holds the key of a data directory."""
    return data_dir / _FILE


def read_key(data_dir: Path) -> str | None:
    """The key stored in a data directory, or None. Raises `Refused` if the file cannot be read."""
    try:
        return key_file(data_dir).read_text().strip() or None
    except FileNotFoundError:
        return None
    except OSError as fault:
        raise Refused(f"cannot read {key_file(data_dir)}: {fault.strerror}") from fault


def ensure_key(data_dir: Path) -> str:
    """The key stored in a data directory; creates a missing one. Raises `Refused`."""
    key = read_key(data_dir)
    if key:
        key_file(data_dir).chmod(0o600)
        return key
    key = PREFIX + secrets.token_urlsafe(32)
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(key_file(data_dir), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(descriptor, 0o600)
            file.write(key + "\n")
    except OSError as fault:
        raise Refused(f"cannot write {key_file(data_dir)}: {fault.strerror}") from fault
    return key


def with_stored_key(settings: Settings) -> Settings:
    """The settings; without a configured admin key, with the key stored in the data directory."""
    key = None if settings.admin_api_key else read_key(settings.data_dir)
    return settings.model_copy(update={"admin_api_key": SecretStr(key)}) if key else settings
