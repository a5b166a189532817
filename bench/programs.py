"""Programs of the benchmark in their own processes: the model server, the bare app, the peers."""

import asyncio
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Self

import psutil

from bench.processes import BenchFailed, end, free_port

ROOT: Final = Path(__file__).resolve().parents[1]
_READY_SECONDS: Final = 120


class Program:
    """One Python module in its own process, from its start to the end of the block. It prints `ready` when it is."""

    def __init__(self, *arguments: str, python: str = sys.executable, **environment: str) -> None:
        self._command = (python, "-m", *arguments)
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        """Start, and wait until it is ready."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | self._environment,
        )
        while await self._line() != "ready":
            pass  # Libraries print lines of their own.
        return self

    async def __aexit__(self, *_: object) -> None:
        """End its input, and stop it after a while."""
        process = self._running()
        if process.returncode is not None:
            return
        process.stdin.close()  # type: ignore[union-attr]
        try:
            async with asyncio.timeout(2):
                await process.wait()
        except TimeoutError:
            await end(process, 10)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._running().pid

    async def request(self, **request: int) -> dict[str, Any]:
        """Send a request, and return its response. Raises `BenchFailed`."""
        process = self._running()
        process.stdin.write(json.dumps(request).encode() + b"\n")  # type: ignore[union-attr]
        seconds = _READY_SECONDS + request.get("within", 0)
        while not (line := await self._line(seconds)).startswith("{"):
            pass
        response: dict[str, Any] = json.loads(line)
        return response

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise BenchFailed("the program was not started")
        return self._process

    async def _line(self, seconds: float = _READY_SECONDS) -> str:
        process = self._running()
        async with asyncio.timeout(seconds):
            line = await process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise BenchFailed(f"`{' '.join(self._command[1:])}` ended with code {await process.wait()}")
        return line.decode().strip()


class ModelServer(Program):
    """The model server, with its address."""

    def __init__(self) -> None:
        port = free_port()
        super().__init__("bench.model_server", "--port", str(port))
        self.url = f"http://127.0.0.1:{port}/v1"


def tree(pid: int) -> list[psutil.Process]:
    """A process with all its children."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


class ProcessorTime:
    """The processor time of processes since the creation of this object. Children at that time are included."""

    def __init__(self, pids: Iterable[int]) -> None:
        processes = {process.pid: process for pid in pids for process in tree(pid)}
        self._before = {process: seconds_of(process) for process in processes.values()}

    def seconds(self) -> float:
        """Seconds so far."""
        # A process that has ended since, such as the server process of a closed connection, does not count.
        return sum(seconds_of(process) - before for process, before in self._before.items() if process.is_running())


def resident(pid: int) -> float:
    """Resident memory of a process in MB."""
    return float(psutil.Process(pid).memory_info().rss) / 1024**2


def seconds_of(process: psutil.Process) -> float:
    """Processor time of one process so far."""
    times = process.cpu_times()
    return float(times.user + times.system)
