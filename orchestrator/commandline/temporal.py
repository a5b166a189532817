"""`orchestrator temporal`: the Temporal development server alone."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from orchestrator.commandline.server import process, tasks, temporal_ui
from orchestrator.commandline.server.ports import free_port, is_taken, listen
from orchestrator.commandline.server.restarts import run_repeatedly, serve_temporal
from orchestrator.commandline.server.tasks import beside, unless_stopped
from orchestrator.commandline.terminal import exits
from orchestrator.commandline.terminal.exits import Refused
from orchestrator.domain.errors import Unavailable
from orchestrator.engine.connect import connect_options
from orchestrator.engine.devserver import HOST, DevServer, UiAddress
from orchestrator.engine.server_binary import ServerBinary, locate
from orchestrator.settings import Settings


def run(settings: Settings, *, port: int, ui_port: int) -> int:
    """Run the server until a signal stops the process. Returns the exit code. Raises `Refused`."""
    return process.serve(settings, lambda stop: _main(settings, port, ui_port or free_port(), stop))


async def _main(settings: Settings, port: int, ui_port: int, stop: asyncio.Event) -> int:
    async with running_server(settings.data_dir, port, ui_port, stop, port_flag="--port") as server:
        if server is not None:
            exits.say(f"ready {server.address}  temporal-ui {ui_url(ui_port)}")
            await stop.wait()
    return exits.OK


@asynccontextmanager
async def running_server(
    data_dir: Path,
    port: int,
    ui_port: int,
    stop: asyncio.Event,
    *,
    port_flag: str,
    first_server: DevServer | None = None,
) -> AsyncIterator[DevServer | None]:
    """A server with its UI that runs, and restarts if it ends, during the block; None if `stop` was set first.

    `first_server` is one on the directory and the port whose start has begun.
    Raises `Refused`: exit code 2 if a port is taken, else 1.
    """
    with listen(HOST, ui_port, "--ui-port") as listener:
        server = await unless_stopped(stop, _start(data_dir, port, port_flag=port_flag, first_server=first_server))
        if server is None:
            yield None
            return
        supervisor = asyncio.ensure_future(run_repeatedly("temporal", lambda: serve_temporal(server), stop))
        try:
            async with beside(temporal_ui.serve(listener, server.ui_url, stop), stop):
                yield server
        finally:
            await tasks.cancelled(supervisor)
            await server.stop()


async def _start(data_dir: Path, port: int, *, port_flag: str, first_server: DevServer | None) -> DevServer:
    try:
        server = first_server or new_server(await locate(os.environ), data_dir, port, port_flag=port_flag)
        await server.start()
    except Unavailable as fault:
        raise Refused(fault.for_operators, exits.USAGE if is_taken(HOST, port) else exits.FAILED) from fault
    return server


def new_server(binary: ServerBinary, data_dir: Path, port: int, *, port_flag: str) -> DevServer:
    """A server that is not started yet. It creates the namespace that clients will use."""
    namespace, ui = connect_options().get("namespace", "default"), UiAddress(temporal_ui.hidden_host(), free_port())
    return DevServer(binary, data_dir, port=port, ui=ui, namespace=namespace, port_flag=port_flag)


def ui_url(ui_port: int) -> str:
    """The address of a local server's Temporal UI."""
    return f"http://{HOST}:{ui_port}"
