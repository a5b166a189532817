"""A Redis server of the suite's own on a free port of 127.0.0.1, which a test may kill, freeze and start again."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

_SECONDS = 15.0


class RedisServer:
    """One `redis-server` that keeps nothing on disk. The port stays the same over its restarts."""

    def __init__(self, binary: str, folder: Path) -> None:
        self._binary = binary
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, unless it runs, and wait until it answers."""
        if not self.alive:
            options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
            with (self._folder / "server.log").open("ab") as log:
                self._process = subprocess.Popen(
                    [self._binary, *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder
                )
        deadline = time.monotonic() + _SECONDS
        while not self._answers():
            running = self.alive and time.monotonic() < deadline
            assert running, (self._folder / "server.log").read_text(errors="replace")[-2000:]
            time.sleep(0.01)

    def kill(self) -> None:
        """Kill it, with all that it holds: connections break, new ones are refused."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_SECONDS)

    def freeze(self) -> None:
        """Stop it from answering: connections stay open, new ones are taken, nothing comes back."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        self._signal(signal.SIGCONT)

    def ready(self) -> str:
        """Running and empty, whatever an earlier test did to it; its URL."""
        if self.alive:
            self.thaw()
        self.start()
        with redis.Redis.from_url(self.url) as client:
            client.flushall()
        return self.url

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "not started"
        os.kill(self._process.pid, number)

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url, socket_timeout=1, socket_connect_timeout=1) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One server for the session. Call `ready()` first, or take `redis_url`. Skips where Redis is not installed; fails
    there when CI is set."""
    binary = shutil.which("redis-server")
    if binary is None:
        reason = "redis-server is not on the path"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="orchestrator-redis-") as folder:
        server = RedisServer(binary, Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.kill()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of a server that runs and is empty."""
    return redis_server.ready()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
