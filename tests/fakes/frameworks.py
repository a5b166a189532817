"""Adapters of frameworks that are not there, for tests that break what runs them."""

import asyncio
import os
from pathlib import Path

from orchestrator.frameworks import FrameworkCall, FrameworkResult, FrameworkTask

SEEN = "ORCHESTRATOR_TEST_SEEN"


class Scribe:
    """Writes each attempt and its process to a file; the first one never ends."""

    name = "scribe"

    async def run(self, task: FrameworkTask, call: FrameworkCall) -> FrameworkResult:
        with Path(os.environ[SEEN]).open("a") as seen:
            seen.write(f"{task.attempt} {os.getpid()}\n")
        if task.attempt == 1:
            await asyncio.sleep(600)
        return FrameworkResult(output=f"written by {os.getpid()}")


SCRIBE = Scribe()
