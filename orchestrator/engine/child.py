"""Runs a command that ends with the process that started it, even if that process is killed with signal 9.

The command creates files that only their owner can read.

Run as a script: `child.py MODE PARENT COMMAND…`. With `prctl` (Linux) the kernel kills the command when its parent
ends. With `pipe` (elsewhere) the script waits beside the command, and kills it when standard input closes, a pipe that
the parent holds open. This module imports nothing of the product, so that it starts fast.
"""

import ctypes
import os
import signal
import subprocess  # no shell, and no input of a caller  # nosec B404
import sys
import threading
from types import FrameType

_PR_SET_PDEATHSIG = 1
_PARENT_GONE = 70


def tied_command(*command: str) -> list[str]:
    """The command line that runs a command tied to this process. Except on Linux, give it a pipe as standard input."""
    mode = "prctl" if sys.platform == "linux" else "pipe"
    return [sys.executable, "-I", "-S", __file__, mode, str(os.getpid()), *command]


def become(parent: int, command: list[str]) -> None:
    """Replace this process with a command that the kernel kills when process `parent` ends. Raises `OSError`."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # The parent ended before the request to the kernel.
        sys.exit(_PARENT_GONE)
    os.execv(command[0], command)  # noqa: S606 - the caller's own command, no shell  # nosec B606


def supervise(command: list[str]) -> int:
    """Run a command until it ends or standard input closes, and return its exit code."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, close_fds=False)  # noqa: S603 - likewise  # nosec B603

    def forward(_number: int, _frame: FrameType | None) -> None:
        process.terminate()

    def kill_at_end_of_input() -> None:
        while os.read(0, 1):
            pass
        process.kill()

    signal.signal(signal.SIGTERM, forward)
    threading.Thread(target=kill_at_end_of_input, daemon=True).start()
    code = process.wait()
    return code if code >= 0 else 128 - code


def main(argv: list[str]) -> None:
    """Entry point of the script."""
    mode, parent, *command = argv
    os.umask(0o077)  # The files contain data of jobs.
    if mode == "prctl":
        become(int(parent), command)
    os._exit(supervise(command))


if __name__ == "__main__":
    main(sys.argv[1:])
