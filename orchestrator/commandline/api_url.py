"""The address of a running `orchestrator dev`, published in its data directory for the other commands."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from orchestrator.commandline.terminal.exits import Refused

_FILE: Final = "api-url"


def read_url(data_dir: Path) -> str | None:
    """The address of the `dev` that uses a data directory, or None if none runs."""
    try:
        return (data_dir / _FILE).read_text().strip() or None
    except (OSError, UnicodeDecodeError):
        return None


@contextmanager
def published_url(data_dir: Path, url: str) -> Iterator[None]:
    """Publish an address in a data directory during the block. Afterwards, an address of another process stays.

    Raises `Refused` if the file cannot be written.
    """
    file = data_dir / _FILE
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.write_text(f"{url}\n")
        file.chmod(0o600)
    except OSError as fault:
        raise Refused(f"cannot write {file}: {fault.strerror}") from fault
    try:
        yield
    finally:
        if read_url(data_dir) == url:
            with suppress(OSError):  # the directory may have been removed meanwhile
                file.unlink()
