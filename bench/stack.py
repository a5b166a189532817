"""The product as its users run it, for the benchmark: real processes on free ports over a throw-away data directory."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2

ROOT: Final = Path(__file__).parents[1]
KEY: Final = "dvr_sk_test_bench"
_FOREIGN: Final = ("ORCHESTRATOR_", "TEMPORAL_", "OPENAI_", "ANTHROPIC_", "DATABASE_URL", "REDIS_URL")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Command:
    """A running `orchestrator …` process."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def resident_mb(self) -> float:
        """Resident memory in MB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    def until_ready(self, seconds: float = 120) -> float:
        """Seconds until it prints its `ready ` line. Raises `RuntimeError` with its log when it does not."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            if any(line.startswith("ready ") for line in self.log.read_text().splitlines()):
                return time.monotonic() - began
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError(f"not ready:\n{self.log.read_text()[-2000:]}")


@contextmanager
def command(folder: Path, *arguments: str, **environment: str) -> Iterator[Command]:
    """Run `orchestrator ARGUMENTS` until the block ends."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    settings = {
        "ORCHESTRATOR_ADMIN_API_KEY": KEY,
        "ORCHESTRATOR_PLUGINS": "bench.plugin",
        "PYTHONPATH": str(ROOT),
        **environment,
    }
    log = folder / f"{arguments[0]}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", *arguments], stdout=output, stderr=output, env={**kept, **settings}
        )
    try:
        yield Command(process, log)
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()


def http(port: int) -> httpx2.AsyncClient:
    """A client with the benchmark's key."""
    limits = httpx2.Limits(max_connections=64)
    headers = {"Authorization": f"Bearer {KEY}"}
    return httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60, limits=limits)
