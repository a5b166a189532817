"""An instance with 500 jobs to try the page by hand: python -m tests.page.instance [PORT]."""

import argparse
import asyncio
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path

import uvicorn

from api.app import create_app
from orchestrator.engine.devserver import DevServer
from orchestrator.engine.server_binary import locate
from orchestrator.plugins import BUILT_IN
from orchestrator.testing import eventually, running_engine
from tests.api.conftest import Fixed
from tests.page.seeds import DEMO, seed

TASKS = """Time each task from the first page; five clicks are enough:
  1. One job is stuck. Find it and fix it.
  2. Yesterday's nightly_report cost more than the run before. Find the call that did.
  3. A step waits for a person. Approve it with a note.
"""


async def main(port: int) -> None:
    """Seed an instance, print the link to its page and the tasks, and serve until it is stopped.

    Raises `OSError` at once if the port is taken.
    """
    with tempfile.TemporaryDirectory() as scratch, socket.create_server(("127.0.0.1", port)) as listener:
        binary = await locate(os.environ)
        async with (
            DevServer(binary, Path(scratch), port=0, in_memory=True, settings={}) as server,
            running_engine(server.address, Path(scratch), [BUILT_IN, DEMO]) as engine,
        ):
            await eventually(engine.services.readiness.checks, lambda checks: all(check.ok for check in checks))
            await seed(engine, 500)
            print(
                f"http://127.0.0.1:{port}/ui/open/{await engine.services.page_sessions.link()}\n\n{TASKS}", flush=True
            )
            config = uvicorn.Config(create_app(Fixed(engine.services)), log_level="warning")
            await uvicorn.Server(config).serve([listener])


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    parser = argparse.ArgumentParser(prog="python -m tests.page.instance", description=__doc__, epilog=TASKS)
    parser.add_argument(
        "port", type=int, nargs="?", default=8017, metavar="PORT", help="port of the page (%(default)s)"
    )
    asyncio.run(main(parser.parse_args().port))
    sys.stdout.flush()
    os._exit(0)
