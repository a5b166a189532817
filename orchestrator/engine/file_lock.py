"""A lock on a file that the kernel frees when its last holder dies, so that no stale lock can exist."""

import fcntl
import os
from pathlib import Path


class FileLock:
    """An exclusive `flock`, held by this process and by every child that inherits `fileno`.

    The file also contains a short text that names its holder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def fileno(self) -> int:
        """The descriptor to pass to a child that shares the lock. Raises `RuntimeError` if the lock is not held."""
        if self._descriptor is None:
            raise RuntimeError(f"{self._path} is not locked")
        return self._descriptor

    def acquire(self) -> bool:
        """Take the lock without waiting. False if another process holds it. Creates a missing folder."""
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
        """Release the lock in this process. A child that shares it keeps it until it ends."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def write(self, text: str) -> None:
        """Replace the text of the file. Raises `RuntimeError` if the lock is not held."""
        os.ftruncate(self.fileno, 0)
        os.pwrite(self.fileno, text.encode(), 0)

    def read(self) -> str:
        """The text that the holder wrote, or an empty one."""
        try:
            return self._path.read_text()
        except FileNotFoundError:
            return ""
