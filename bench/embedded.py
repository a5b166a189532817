"""The product in one process with Temporal beside it, and the model server that it uses."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import Command, child_named, free_port
from bench.programs import ModelServer


@dataclass(frozen=True, slots=True)
class Embedded:
    """A running product. `quick` asks for fewer repeats."""

    dev: Command
    temporal: int
    address: str
    port: int
    key: str
    models: ModelServer
    quick: bool

    @property
    def pids(self) -> list[int]:
        """All processes that a job uses: the product with Temporal, and the client in this process."""
        return [self.dev.pid, os.getpid()]


@asynccontextmanager
async def embedded(folder: Path, key: str, *, quick: bool) -> AsyncIterator[Embedded]:
    """Start the model server and `orchestrator dev`."""
    address, port = f"127.0.0.1:{free_port()}", free_port()
    ports = ("--port", str(port), "--temporal-port", address.rpartition(":")[2], "--ui-port", "0")
    async with ModelServer() as models:
        dev = Command(
            folder,
            "dev",
            *ports,
            ORCHESTRATOR_ADMIN_API_KEY=key,
            ORCHESTRATOR_LLM_BASE_URL=models.url,
            ORCHESTRATOR_DEFAULT_MODEL="bench",
        )
        async with dev:
            temporal = await child_named(dev.pid, "start-dev")
            yield Embedded(dev, temporal, address, port, key, models, quick)
