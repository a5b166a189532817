"""`orchestrator api`: the HTTP side alone; it comes up while Temporal is down."""

import asyncio
from functools import partial

import structlog

from api.app import create_app
from api.hardening import ApiOptions
from orchestrator.bootstrap import Stack, load_catalogue, open_lazily
from orchestrator.commandline import exits, process
from orchestrator.commandline.admin_key import with_kept_key
from orchestrator.commandline.collisions import refuse_collisions
from orchestrator.commandline.http_server import ApiServer, until_answering
from orchestrator.commandline.ports import listen, url_of
from orchestrator.commandline.tasks import beside, unless_stopped
from orchestrator.domain.catalogue import Catalogue
from orchestrator.settings import Settings

log = structlog.get_logger(__name__)


def run(settings: Settings, host: str, port: int) -> int:
    """Serve until told to stop. Answers the exit code; raises `Refused`, `CatalogueError`."""
    refuse_collisions()
    catalogue = load_catalogue(settings)
    return process.serve(settings, lambda stop: _main(with_kept_key(settings), catalogue, (host, port), stop))


async def _main(settings: Settings, catalogue: Catalogue, address: tuple[str, int], stop: asyncio.Event) -> int:
    if settings.admin_api_key is None:
        log.warning("no_admin_key", advice="set ORCHESTRATOR_ADMIN_API_KEY")

    app = create_app(Stack(partial(open_lazily, settings, catalogue)), options=lambda: ApiOptions.of(settings))
    with listen(*address, "--port") as listener:
        url = url_of(listener)
        async with beside(ApiServer(app, listener, keep_alive=settings.http_keep_alive).run_until(stop), stop):
            if await unless_stopped(stop, until_answering(url, "/healthz")):
                process.ready(f"{url}  docs {url}/docs")
            await stop.wait()
    return exits.OK
