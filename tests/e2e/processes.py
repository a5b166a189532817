"""The product as its users run it: real processes, found by their `ready ` line, killed without mercy."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from tests.e2e.plugin import EFFECTS

KEY = "dvr_sk_test_processes"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Command:
    """One `orchestrator …` process; its output goes to a file that a failing test shows."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        log: str = "",
        program: tuple[str, ...] = (sys.executable, "-m", "orchestrator"),
        whole: dict[str, str] | None = None,
        **environment: str,
    ) -> None:
        """`whole` is the environment instead of this process's; `environment` is added."""
        self.program, self.arguments = program, arguments
        self.whole = whole
        self.log = folder / f"{log or arguments[0]}.log"
        self.environment = environment
        self.process: asyncio.subprocess.Process | None = None
        self.before = 0  # characters that earlier starts wrote

    async def start(self, *, umask: int = -1, cwd: Path | None = None) -> "Command":
        self.before = len(self.text())
        with self.log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *self.program,
                *self.arguments,
                stdout=output,
                stderr=output,
                env={**(os.environ if self.whole is None else self.whole), **self.environment},
                umask=umask,
                cwd=cwd,
            )
        return self

    async def ready(self, seconds: float = 120) -> "Command":
        """Wait for the line that begins with `ready `, of this start and not an earlier one."""
        process = self.process
        assert process is not None
        deadline = asyncio.get_running_loop().time() + seconds
        while not self.ready_lines():
            assert process.returncode is None, self.text()
            assert asyncio.get_running_loop().time() < deadline, f"not ready: {self.text()}"
            await asyncio.sleep(0.1)
        return self

    def ready_lines(self) -> int:
        """How often this start has said that it is ready."""
        return sum(line.startswith("ready ") for line in self.text()[self.before :].splitlines())

    def text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    async def kill(self, how: int = signal.SIGKILL) -> int:
        process = self.process
        assert process is not None
        if process.returncode is None:
            process.send_signal(how)
        return await process.wait()


class Installation:
    """Temporal, API and worker as three processes over one data directory; `settings` are variables of all three."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.effects = folder / "effects.txt"
        self.effects.touch()
        temporal, self.port = free_port(), free_port()
        environment = {
            "TEMPORAL_ADDRESS": f"127.0.0.1:{temporal}",
            "ORCHESTRATOR_ADMIN_API_KEY": KEY,
            "ORCHESTRATOR_PLUGINS": "tests.e2e.plugin",
            "ORCHESTRATOR_RECONCILE_INTERVAL": "3",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            EFFECTS: str(self.effects),
            **settings,
        }
        data = str(folder / "data")
        self.temporal = Command(
            folder,
            "temporal",
            "--port",
            str(temporal),
            "--ui-port",
            str(free_port()),
            "--data-dir",
            data,
            **environment,
        )
        self.api = Command(folder, "api", "--port", str(self.port), "--data-dir", data, **environment)
        self.worker = Command(folder, "worker", "--data-dir", data, **environment)
        self.others: list[Command] = []
        self.client = httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}", headers={"Authorization": f"Bearer {KEY}"}, timeout=30
        )

    def another_worker(self, **settings: str) -> Command:
        """One more worker, not started yet; `settings` are variables in which it differs."""
        log = f"worker-{len(self.others) + 2}"
        environment = {**self.worker.environment, **settings}
        self.others.append(Command(self.folder, *self.worker.arguments, log=log, **environment))
        return self.others[-1]

    @property
    def commands(self) -> list[Command]:
        """Every process, Temporal last."""
        return [self.api, self.worker, *self.others, self.temporal]

    def ran(self, what: str) -> list[str]:
        """Effect ids in the order in which they started or ended."""
        lines = [line.split() for line in self.effects.read_text().splitlines()]
        return [line[1] for line in lines if line[0] == what]

    async def job(self, job_id: str) -> dict:
        answer = await self.client.get(f"/v1/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def up(self, path: str = "/healthz") -> None:
        async with asyncio.timeout(60):
            while True:
                try:
                    if (await self.client.get(path)).status_code == 200:
                        return
                except httpx2.TransportError:
                    pass
                await asyncio.sleep(0.1)


@asynccontextmanager
async def installation(folder: Path, **settings: str) -> AsyncIterator[Installation]:
    running = Installation(folder, **settings)
    try:
        await (await running.temporal.start()).ready()
        await running.worker.start()
        await running.api.start()
        await running.up("/readyz")
        yield running
    except BaseException:
        for command in running.commands:
            sys.stdout.write(f"--- {command.log.name}\n" + "\n".join(command.text().splitlines()[-80:]) + "\n")
        raise
    finally:
        await running.client.aclose()
        for command in running.commands:
            if command.process is not None:
                await command.kill()
