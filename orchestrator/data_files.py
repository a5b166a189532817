"""Files that hold secrets or jobs: made for their owner alone, whatever the process's umask is."""

import os
from pathlib import Path
from typing import Final

PRIVATE: Final = 0o600
_PRIVATE_FOLDER: Final = 0o700


def make_private(file: Path) -> None:
    """Make an empty file, and its folder, for their owner alone. What exists stays as it is. Raises `OSError`."""
    file.parent.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, PRIVATE))


def close_to_others(data_dir: Path) -> None:
    """Take the files of a data directory away from other users: earlier releases left some of them readable.

    Files of another user stay as they are.
    """
    if not data_dir.is_dir():
        return
    for file in data_dir.iterdir():
        status = file.lstat()
        if file.is_file() and not file.is_symlink() and status.st_uid == os.geteuid() and status.st_mode & 0o077:
            file.chmod(PRIVATE)
