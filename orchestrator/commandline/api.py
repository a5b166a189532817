"""`orchestrator api`: the HTTP API alone. It also starts while Temporal is down."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import structlog

from api.app import create_app
from api.hardening import ApiOptions
from orchestrator.commandline.admin_key import with_stored_key
from orchestrator.commandline.doctor.collisions import refuse_collisions
from orchestrator.commandline.server import process, tasks
from orchestrator.commandline.server.http_server import ApiServer, until_answering
from orchestrator.commandline.server.ports import listen, url_of
from orchestrator.commandline.server.tasks import beside, unless_stopped
from orchestrator.commandline.terminal import exits
from orchestrator.composition.lazy_services import LazyServices
from orchestrator.composition.process import load_catalogue, open_lazily
from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.errors import Misconfigured, Unavailable
from orchestrator.settings import Settings

_FIRST_CHECK: Final = 2.0  # Seconds: a wrong configuration usually shows by then, before `ready` is printed.
_CHECK_INTERVAL: Final = 1.0

log = structlog.get_logger(__name__)


def run(settings: Settings, host: str, port: int) -> int:
    """Serve until a signal stops the process. Returns the exit code. Raises `Refused`, `Misconfigured`."""
    refuse_collisions()
    catalogue = load_catalogue(settings)
    return process.serve(settings, lambda stop: _main(with_stored_key(settings), catalogue, (host, port), stop))


async def _main(settings: Settings, catalogue: Catalogue, address: tuple[str, int], stop: asyncio.Event) -> int:
    if settings.admin_api_key is None:
        log.warning("no_admin_key", advice="set ORCHESTRATOR_ADMIN_API_KEY")

    source = LazyServices(partial(open_lazily, settings, catalogue))
    app = create_app(source, options=lambda: ApiOptions.of(settings))
    with listen(*address, "--port") as listener:
        url = url_of(listener)
        server = ApiServer(app, listener, keep_alive=settings.http_keep_alive, proxies=settings.trusted_proxies)
        async with beside(server.run_until(stop), stop), _checked(source, stop) as checking:
            await asyncio.wait({checking}, timeout=_FIRST_CHECK)
            if await unless_stopped(stop, until_answering(url, "/healthz")):
                process.ready(f"{url}  docs {url}/docs")
            await stop.wait()
    return exits.OK


@asynccontextmanager
async def _checked(source: LazyServices, stop: asyncio.Event) -> AsyncIterator["asyncio.Task[None]"]:
    """Check during the block that the index and Temporal belong to this installation, until both have answered.

    If they do not, sets `stop`, and raises `Misconfigured` after the block.
    """
    checking = asyncio.create_task(_until_checked(source))
    checking.add_done_callback(lambda task: stop.set() if not task.cancelled() and task.exception() else None)
    try:
        yield checking
    finally:
        await tasks.cancelled(checking)
    if not checking.cancelled():
        checking.result()


async def _until_checked(source: LazyServices) -> None:
    logged = ""
    while True:
        try:
            await source.check()
        except Misconfigured:
            raise
        except Unavailable as fault:
            if fault.for_operators != logged:
                logged = fault.for_operators
                log.warning("waiting", fault=logged)
            await asyncio.sleep(_CHECK_INTERVAL)
        else:
            return
