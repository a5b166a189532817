"""Files that hold secrets or jobs: made for their owner alone, whatever the process's umask is."""

import os
import stat
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
    """Take our files of a data directory away from other users: earlier releases left some of them readable.

    Other files there, and those of another user, stay as they are.
    """
    for pattern in _OURS:
        for file in data_dir.glob(pattern):
            status = file.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_mode & 0o077:
                file.chmod(PRIVATE)
