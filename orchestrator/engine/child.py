"""Runs a command that cannot outlive the process which started it, even if that one is killed with signal 9.

The files that the command makes are for their owner alone.

Run as a script: `child.py MODE PARENT COMMAND…`. `prctl` (Linux) asks the kernel to kill the command with its parent;
`pipe` (elsewhere) stays beside the command and kills it when the pipe on standard input, held open by the parent,
closes. Imports nothing of the product, so that it starts at once.
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


def tied(*command: str) -> list[str]:
    """The command line that runs a command tied to this process; where it is no Linux, give it a pipe as its input."""
    mode = "prctl" if sys.platform == "linux" else "pipe"
    return [sys.executable, "-I", "-S", __file__, mode, str(os.getpid()), *command]


def become(parent: int, command: list[str]) -> None:
    """Replace this process with a command that the kernel kills when process `parent` ends. Raises `OSError`."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before the request was in place
        sys.exit(_PARENT_GONE)
    os.execv(command[0], command)  # noqa: S606 - the caller's own command, no shell  # nosec B606


def supervise(command: list[str]) -> int:
    """Run a command until it ends or standard input closes, and answer its exit code."""
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
    os.umask(0o077)  # its files hold jobs
    if mode == "prctl":
        become(int(parent), command)
    os._exit(supervise(command))


if __name__ == "__main__":
    main(sys.argv[1:])
