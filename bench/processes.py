"""The product as users run it, `python -m orchestrator …`, with its memory and processor time."""

import asyncio
import os
import re
import socket
import sys
import time
from pathlib import Path
from typing import Final, Self

_READY: Final = re.compile(r"^ready .*$", re.MULTILINE)
_TIMEOUT_SECONDS: Final = 120.0
_POLL: Final = 0.02


class BenchFailed(Exception):
    """A step failed, so there is nothing to measure."""


class Command:
    """One `orchestrator` command on a data directory, from its start to the end of the block.

    Its output goes to a file there. `ready_seconds` is the time from the start to the line that begins with `ready`.
    """

    def __init__(self, data_dir: Path, *arguments: str, **environment: str) -> None:
        self._arguments = (*arguments, "--data-dir", str(data_dir))
        self._environment = environment
        self._log = data_dir / f"{arguments[0]}.log"
        self._process: asyncio.subprocess.Process | None = None
        self.ready_seconds = 0.0

    async def __aenter__(self) -> Self:
        """Start, and wait until it is ready."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        with self._log.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "orchestrator", *self._arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._log.parent,
                env=_environment() | self._environment,
            )
        while _READY.search(self._log.read_text(errors="replace")) is None:
            if self._process.returncode is not None or time.perf_counter() - began > _TIMEOUT_SECONDS:
                await self.stop()
                raise BenchFailed(f"`orchestrator {self._arguments[0]}` did not become ready")
            await asyncio.sleep(_POLL)
        self.ready_seconds = time.perf_counter() - began
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    async def stop(self) -> None:
        """Stop the process: it may shut down for 20 s, then it is killed."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        await end(process, 20)

    @property
    def pid(self) -> int:
        """The process id."""
        if self._process is None:
            raise BenchFailed("the command was not started")
        return self._process.pid


async def end(process: asyncio.subprocess.Process, seconds: float) -> None:
    """Ask a process to end, and kill it if it runs for longer than `seconds`."""
    process.terminate()
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def tail(log: Path) -> str:
    """The last lines of a command's output."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])


def free_port() -> int:
    """A free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def memory(pid: int) -> float:
    """Resident memory of a process in MB."""
    return await _ps("rss", pid) / 1024


async def processor_seconds(pid: int) -> float | None:
    """Processor time of a process in hundredths of a second, or None if the system reports whole seconds only."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return None
    fields = stat.read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def child_named(parent: int, name: str) -> int:
    """The child of `parent` whose command line contains `name`. Raises `BenchFailed`."""
    listing = await _run("ps", "-A", "-o", "pid=,ppid=,args=")
    rows = [line.split(None, 2) for line in listing.splitlines()]
    for pid, above, arguments in (row for row in rows if len(row) == 3):
        if int(above) == parent and name in arguments:
            return int(pid)
    raise BenchFailed(f"process {parent} has no child `{name}`")


async def _ps(field: str, pid: int) -> float:
    return float(await _run("ps", "-o", f"{field}=", "-p", str(pid)))


async def _run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode:
        raise BenchFailed(f"`{' '.join(command)}` ended with code {process.returncode}")
    return output.decode()


def _environment() -> dict[str, str]:
    """This process's own, without what would make the runs differ from a user's: settings and a stopped cache."""
    dropped = ("ORCHESTRATOR_", "TEMPORAL_", "PYTHONDONTWRITEBYTECODE", "DATABASE_URL", "REDIS_URL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    root = str(Path(__file__).resolve().parents[1])
    return kept | {"PYTHONPATH": root, "ORCHESTRATOR_PLUGINS": "bench.plugin"}
