"""Files that hold secrets or jobs: for their owner alone, whatever the umask, and also where they existed."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PRIVATE: Final = 0o600
_PRIVATE_FOLDER: Final = 0o700
_OURS: Final = (
    "index.sqlite3*",
    "temporal-*.sqlite3*",
    "temporal*.log",
    "temporal.lock",
    "secret-key",
    "admin-api-key",
)


def make_private(file: Path) -> None:
    """Make an empty file, and its folder, for their owner alone. What exists stays as it is. Raises `OSError`."""
    file.parent.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, PRIVATE))


def close_to_others(data_dir: Path) -> None:
    """Take a data directory and our files in it away from other users, whoever made them and with which mode.

    Other files there, what belongs to another user, and a directory that users share, such as `/tmp`, stay as they are.
    """
    for path, status in _open_to_others(data_dir):
        if status.st_uid == os.geteuid() and not status.st_mode & stat.S_ISVTX:
            path.chmod(_PRIVATE_FOLDER if stat.S_ISDIR(status.st_mode) else PRIVATE)


def open_to_others(data_dir: Path) -> list[Path]:
    """The data directory and those of our files in it that other users of this machine may read or write."""
    return [path for path, _ in _open_to_others(data_dir)]


def _open_to_others(data_dir: Path) -> Iterator[tuple[Path, os.stat_result]]:
    if data_dir.is_dir():
        for path in (data_dir, *(file for pattern in _OURS for file in data_dir.glob(pattern))):
            status = path.stat() if path == data_dir else path.lstat()
            if status.st_mode & 0o077 and (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
                yield path, status
