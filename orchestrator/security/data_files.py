"""Files with secrets or jobs: only their owner may read them, whatever the umask is, old files included."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

PRIVATE: Final = 0o600
_PRIVATE_FOLDER: Final = 0o700
_PATTERNS: Final = (
    "index.sqlite3*",
    "temporal-*.sqlite3*",
    "temporal*.log",
    "temporal.lock",
    "secret-key",
    "admin-api-key",
)


def make_private(file: Path) -> None:
    """Create an empty file and its folder for the owner alone. Existing ones are not changed. Raises `OSError`.

    An existing file is not even opened: closing it would drop the locks that SQLite holds on it in this process, and
    the next program that reads the database would delete the write-ahead log beside it.
    """
    file.parent.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(file.resolve(), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE))


def close_to_others(data_dir: Path) -> None:
    """Remove the access of other users to a data directory and to the files of the product in it.

    Other files, files of another user, and a directory that users share, such as `/tmp`, are not changed.
    """
    for path, status in _open_to_others(data_dir):
        if status.st_uid == os.geteuid() and not status.st_mode & stat.S_ISVTX:
            path.chmod(_PRIVATE_FOLDER if stat.S_ISDIR(status.st_mode) else PRIVATE)


def open_to_others(data_dir: Path) -> list[Path]:
    """The data directory and the files of the product in it that other users of this machine may read or write."""
    return [path for path, _ in _open_to_others(data_dir)]


def _open_to_others(data_dir: Path) -> Iterator[tuple[Path, os.stat_result]]:
    if data_dir.is_dir():
        for path in (data_dir, *(file for pattern in _PATTERNS for file in data_dir.glob(pattern))):
            status = path.stat() if path == data_dir else path.lstat()
            if status.st_mode & 0o077 and (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
                yield path, status
