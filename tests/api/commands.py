"""The command line as its users run it: processes that talk to a real API over the network, as one caller."""

import asyncio
import json
import os
import pty
import sys
from dataclasses import dataclass
from typing import Any

import httpx2


@dataclass
class Ended:
    code: int
    out: str
    err: str


class Commands:
    """Runs `orchestrator jobs …` against one API, as one caller."""

    def __init__(self, url: str, key: str) -> None:
        self.environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith("ORCHESTRATOR_")},
            "ORCHESTRATOR_API_URL": url,
            "ORCHESTRATOR_API_KEY": key,
            "HTTP_PROXY": "http://127.0.0.1:9",  # loopback needs none
        }

    async def __call__(self, *arguments: str, stdin: str | None = None, **environment: str) -> Ended:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "orchestrator", *arguments),
            stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**self.environment, **environment},
        )
        async with asyncio.timeout(60):
            out, err = await process.communicate(None if stdin is None else stdin.encode())
        assert process.returncode is not None
        assert b"Traceback" not in err, err.decode()
        return Ended(process.returncode, out.decode(), err.decode())

    async def jobs(self, *arguments: str, **more: Any) -> Ended:
        return await self("jobs", *arguments, **more)

    async def on_a_terminal(self, *arguments: str, types: str) -> Ended:
        """The same on a terminal of its own."""
        ours, theirs = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "orchestrator", "jobs", *arguments),
            stdin=theirs,
            stdout=theirs,
            stderr=asyncio.subprocess.PIPE,
            env={**self.environment, "TERM": "xterm", "COLUMNS": "120"},
        )
        os.close(theirs)
        os.write(ours, types.encode())
        async with asyncio.timeout(60):
            _, err = await process.communicate()
        shown = os.read(ours, 100_000).decode()
        os.close(ours)
        assert process.returncode is not None
        return Ended(process.returncode, shown, err.decode())


@dataclass
class Account:
    """A caller of its own: its lists hold what its test started, and nothing else."""

    http: httpx2.AsyncClient
    run: Commands

    async def start(self, workflow: str, input: dict[str, Any] | None = None) -> str:
        answer = await self.http.post(f"/v1/workflows/{workflow}/run", json={"input": input or {}, "async": True})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])

    async def listed(self, *filters: str) -> list[dict[str, Any]]:
        shown = await self.run.jobs("list", "--json", "--all", *filters)
        assert shown.code == 0, shown.err
        rows: list[dict[str, Any]] = json.loads(shown.out)["jobs"]
        return rows
