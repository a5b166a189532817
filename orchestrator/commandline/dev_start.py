"""The beginning of `orchestrator dev`: Temporal starts while this process still imports API and worker.

It imports only what that needs.
"""

import os
import socket
from dataclasses import dataclass
from typing import Final

from orchestrator.commandline import temporal
from orchestrator.commandline.doctor.collisions import refuse_collisions
from orchestrator.commandline.server import process
from orchestrator.commandline.server.ports import listen
from orchestrator.composition.imports import quick_imports
from orchestrator.engine.devserver import DevServer
from orchestrator.engine.server_binary import found
from orchestrator.settings import Settings

TEMPORAL_FLAG: Final = "--temporal-port"


@dataclass(frozen=True, slots=True)
class DevPorts:
    """Where the three servers listen; port 0 selects a free port."""

    host: str
    api: int
    temporal: int
    ui: int


@dataclass(frozen=True, slots=True)
class HeadStart:
    """What runs before the rest is imported: the socket of the API, and Temporal, which may not answer yet.

    There is no server if another one is named, or if it must be downloaded or built first.
    """

    ports: DevPorts
    listener: socket.socket
    server: DevServer | None


def run(settings: Settings, ports: DevPorts) -> int:
    """Run everything until a signal stops the process. Returns the exit code. Raises `Refused`, `Misconfigured`."""
    refuse_collisions()
    runner = process.prepared(settings)
    with listen(ports.host, ports.api, "--port") as listener:
        server = runner.run(_begun(settings, ports.temporal))
        try:
            with quick_imports():
                from orchestrator.commandline import dev  # noqa: PLC0415

            main = dev.prepared(settings, HeadStart(ports, listener, server))
        except BaseException:
            if server is not None:
                runner.run(server.stop())
            raise
        return process.run(runner, main)


def needs_temporal() -> bool:
    """Whether `dev` runs a Temporal server, because no other one is named."""
    return not os.environ.get("TEMPORAL_ADDRESS", "").strip()


async def _begun(settings: Settings, port: int) -> DevServer | None:
    binary = await found(os.environ) if needs_temporal() else None
    if binary is None:
        return None
    server = temporal.new_server(binary, settings.data_dir, port, port_flag=TEMPORAL_FLAG)
    await server.begin()
    return server
