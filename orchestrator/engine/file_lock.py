"""A lock on a file that the kernel frees when its last holder dies, so that no stale lock can exist."""

import fcntl
import os
from pathlib import Path


class FileLock:
    """An exclusive `flock`, held by this process and by every child that is given `fileno`.

    The file also carries a short text, which tells the one who finds it locked who holds it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def fileno(self) -> int:
        """The descriptor to pass to a child that shall keep the lock as well. Raises `RuntimeError` when not held."""
        if self._descriptor is None:
            raise RuntimeError(f"{self._path} is not locked")
        return self._descriptor

    def acquire(self) -> bool:
        """Take the lock without waiting; False when another process holds it. Makes the folder if need be."""
        if self._descriptor is not None:
            return True
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give this process's hold back; a child that shares the lock keeps it until it ends."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def write(self, text: str) -> None:
        """Replace the file's text. Raises `RuntimeError` when the lock is not held."""
        os.ftruncate(self.fileno, 0)
        os.pwrite(self.fileno, text.encode(), 0)

    def read(self) -> str:
        """The text its holder wrote; empty when there is none."""
        try:
            return self._path.read_text()
        except FileNotFoundError:
            return ""
