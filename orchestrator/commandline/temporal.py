"""`orchestrator temporal`: the Temporal development server alone."""

import asyncio
import os
from pathlib import Path

from orchestrator.commandline import exits, process
from orchestrator.commandline.exits import Refused
from orchestrator.commandline.ports import free_port, is_taken
from orchestrator.commandline.tasks import unless_stopped
from orchestrator.commandline.upkeep import keep_going, serve_temporal
from orchestrator.domain.errors import Unavailable
from orchestrator.engine.connect import connect_options
from orchestrator.engine.devserver import HOST, DevServer
from orchestrator.engine.server_binary import locate
from orchestrator.settings import Settings


def run(settings: Settings, *, port: int, ui_port: int) -> int:
    """Run the server until told to stop. Answers the exit code; raises `Refused`."""
    return process.serve(settings, lambda stop: _main(settings, port, ui_port, stop))


async def _main(settings: Settings, port: int, ui_port: int, stop: asyncio.Event) -> int:
    ui_port = ui_port or free_port()
    server = await unless_stopped(stop, start_server(settings.data_dir, port, ui_port, port_flag="--port"))
    if server is None:
        return exits.OK
    try:
        exits.say(f"ready {server.address}  temporal-ui {ui_url(ui_port)}")
        await unless_stopped(stop, keep_going("temporal", lambda: serve_temporal(server), stop))
    finally:
        await server.stop()
    return exits.OK


async def start_server(data_dir: Path, port: int, ui_port: int, *, port_flag: str) -> DevServer:
    """Find or make the server and start it. Raises `Refused`: exit code 2 when a port is taken, else 1."""
    try:
        binary = await locate(os.environ)
        namespace = connect_options().get("namespace", "default")  # a server of our own has the one that is asked for
        server = DevServer(binary, data_dir, port=port, ui_port=ui_port, namespace=namespace, port_flag=port_flag)
        await server.start()
    except Unavailable as fault:
        taken = any(is_taken(HOST, number) for number in (port, ui_port))
        raise Refused(fault.for_operators, exits.USAGE if taken else exits.FAILED) from fault
    return server


def ui_url(ui_port: int) -> str:
    """Where operators find the Temporal UI of a local server."""
    return f"http://{HOST}:{ui_port}"
