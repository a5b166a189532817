"""The time of imports, each in a fresh interpreter."""

import asyncio
import sys
from statistics import median
from typing import Final

from bench.figures import Figure, at_most
from bench.processes import BenchFailed

_TIMES: Final = 5
_AUTHORING: Final = "orchestrator.authoring"
_WORKER: Final = "orchestrator.commandline.worker"
_PROGRAM: Final = "import time; began = time.perf_counter(); import {}; print(time.perf_counter() - began)"


async def measure() -> list[Figure]:
    """Seconds of each import."""
    return [
        at_most("import of orchestrator.authoring", 0.5, await _seconds(_AUTHORING), "s"),
        at_most("import of the worker", 2, await _seconds(_WORKER), "s"),
    ]


async def _seconds(module: str) -> float:
    seconds = []
    for _ in range(_TIMES + 1):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _PROGRAM.format(module), stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        if process.returncode:
            raise BenchFailed(f"`import {module}` ended with code {process.returncode}")
        seconds.append(float(output))
    return median(seconds[1:])  # The first one fills the caches.
