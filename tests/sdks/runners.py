"""The programs that perform calls with the library of each language."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.sdks import node_packages
from tests.sdks.go_toolchain import RUNNER as GO_RUNNER
from tests.sdks.go_toolchain import build_runner as build_go_runner

ROOT = Path(__file__).parents[2]
SDKS = ROOT / "sdks"
LARGEST_LINE = 2**26


@dataclass(frozen=True)
class Language:
    """How the runner of a language is started. `prepare` builds what it needs and gives the reason why it cannot."""

    command: tuple[str, ...]
    environment: dict[str, str]
    prepare: Callable[[], str | None] = lambda: None


PYTHON_PATH = os.pathsep.join(str(path) for path in sorted((SDKS / "python").glob("*/src")))
PYTHON = (sys.executable, str(SDKS / "python" / "conformance_runner.py"))
TYPESCRIPT = ("node", str(SDKS / "typescript" / "conformance-runner.mjs"))
COMMAND_LINE = (sys.executable, str(Path(__file__).with_name("command_line_runner.py")))
# One line for each language.
LANGUAGES: dict[str, Language] = {
    "python": Language(PYTHON, {"PYTHONPATH": PYTHON_PATH}),
    "python-async": Language((*PYTHON, "--async"), {"PYTHONPATH": PYTHON_PATH}),
    "typescript": Language(TYPESCRIPT, {}, node_packages.prepare),
    "command-line": Language(COMMAND_LINE, {}, node_packages.prepare),
    "go": Language((str(GO_RUNNER),), {}, build_go_runner),
}


def need(reason: str | None) -> None:
    """Skip a test whose toolchain is missing; where nothing may be missing, fail."""
    if reason is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def missing(*programs: str) -> str | None:
    """Why a language cannot be run here: programs that are not on the path."""
    absent = [program for program in programs if shutil.which(program) is None]
    return f"not on the path: {', '.join(absent)}" if absent else None


@dataclass
class Performed:
    """What a runner answered to one command."""

    answer: dict[str, Any]
    events: list[dict[str, Any]]


class Runner:
    """One process of a language, which performs one call after another."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._language = LANGUAGES[name]
        self._process: asyncio.subprocess.Process | None = None
        self._number = 0

    async def start(self) -> "Runner":
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._language.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**neutral_environment(), **self._language.environment},
                limit=LARGEST_LINE,
            )
        return self

    async def perform(self, call: str, arguments: dict[str, Any], options: dict[str, Any], seconds: float) -> Performed:
        """Perform one call; fails the test when no answer comes within `seconds`."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        self._number += 1
        command = {"id": str(self._number), "call": call, "arguments": arguments, "options": options}
        process.stdin.write(json.dumps(command).encode() + b"\n")
        events: list[dict[str, Any]] = []
        async with asyncio.timeout(seconds):
            while True:
                text = await process.stdout.readline()
                assert text, f"the {self.name} runner ended: {self.log.read_text()[-4000:]}"
                line = json.loads(text)
                assert line["id"] == command["id"], line
                if "event" not in line:
                    return Performed(line, events)
                events.append(line["event"])

    async def stop(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def neutral_environment() -> dict[str, str]:
    """This process's, without what the libraries would read of it."""
    proxies = ("http_proxy", "https_proxy", "all_proxy")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DEVORA_", "ORCHESTRATOR_")) and name.lower() not in proxies
    }
