"""Where the API of a data directory's `dev` listens, for the commands that are run beside it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from orchestrator.commandline.terminal.exits import Refused

_FILE: Final = "api-url"


def read_url(data_dir: Path) -> str | None:
    """The address of the `dev` that runs on a data directory, or None."""
    try:
        return (data_dir / _FILE).read_text().strip() or None
    except (OSError, UnicodeDecodeError):
        return None


@contextmanager
def kept_url(data_dir: Path, url: str) -> Iterator[None]:
    """Keep an address in a data directory while its API runs, unless another one takes its place.

    Raises `Refused` when it cannot be written.
    """
    file = data_dir / _FILE
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.write_text(f"{url}\n")
        file.chmod(0o600)
    except OSError as fault:
        raise Refused(f"{file} cannot be written: {fault.strerror}") from fault
    try:
        yield
    finally:
        if read_url(data_dir) == url:
            with suppress(OSError):  # a directory that was removed meanwhile
                file.unlink()
