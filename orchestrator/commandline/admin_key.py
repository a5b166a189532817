"""The bootstrap key of a data directory: made once, kept readable by its owner alone."""

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
    """Where a data directory's key lies."""
    return data_dir / _FILE


def read_key(data_dir: Path) -> str | None:
    """The key kept in a data directory, or None. Raises `Refused` when it cannot be read."""
    try:
        return key_file(data_dir).read_text().strip() or None
    except FileNotFoundError:
        return None
    except OSError as fault:
        raise Refused(f"{key_file(data_dir)} cannot be read: {fault.strerror}") from fault


def ensure_key(data_dir: Path) -> str:
    """The key kept in a data directory, made now if there is none. Raises `Refused`."""
    known = read_key(data_dir)
    if known:
        key_file(data_dir).chmod(0o600)
        return known
    key = PREFIX + secrets.token_urlsafe(32)
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(key_file(data_dir), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(descriptor, 0o600)
            file.write(key + "\n")
    except OSError as fault:
        raise Refused(f"{key_file(data_dir)} cannot be written: {fault.strerror}") from fault
    return key


def with_kept_key(settings: Settings) -> Settings:
    """The settings, with the data directory's key where none is configured."""
    known = None if settings.admin_api_key else read_key(settings.data_dir)
    return settings.model_copy(update={"admin_api_key": SecretStr(known)}) if known else settings
