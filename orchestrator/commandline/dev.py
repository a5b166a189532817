"""`orchestrator dev`: API and worker in one process, and Temporal as its child, on one machine (A12)."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

from pydantic import SecretStr

from api.app import create_app
from api.hardening import ApiOptions
from orchestrator.commandline import temporal
from orchestrator.commandline.admin_key import ensure_key
from orchestrator.commandline.api_url import published_url
from orchestrator.commandline.dev_start import TEMPORAL_FLAG, HeadStart, needs_temporal
from orchestrator.commandline.server import process
from orchestrator.commandline.server.http_server import ApiServer, until_answering
from orchestrator.commandline.server.ports import free_port, url_of
from orchestrator.commandline.server.restarts import run_repeatedly, serve_worker
from orchestrator.commandline.server.tasks import beside, unless_stopped
from orchestrator.commandline.terminal import exits
from orchestrator.composition.process import Parts, connect_worker, load_catalogue
from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.errors import Unavailable
from orchestrator.network.loopback import HOST_NAMES, is_loopback
from orchestrator.services.container import Services
from orchestrator.settings import Settings

_DRAIN: Final = 5.0  # Seconds: the user waits for it after Ctrl-C, and interrupted calls run again at the next start.


class SharedParts:
    """Gives the API the services that it shares with the worker. The caller that opened the parts closes them."""

    def __init__(self) -> None:
        self.parts: Parts | None = None

    async def services(self) -> Services:
        """Raises `Unavailable` until the parts are open."""
        if self.parts is None:
            raise Unavailable("Still starting: Temporal is not up yet")
        return self.parts.services

    async def aclose(self) -> None:
        """Close nothing: the worker still needs the parts."""


def prepared(settings: Settings, head_start: HeadStart) -> Callable[[asyncio.Event], Coroutine[Any, Any, int]]:
    """What runs everything until its event is set, and returns the exit code. Raises `Refused`, `Misconfigured`."""
    catalogue = load_catalogue(settings)
    new_key = None if settings.admin_api_key else ensure_key(settings.data_dir)
    if new_key:
        settings = settings.model_copy(update={"admin_api_key": SecretStr(new_key)})
    settings = _embedded(settings, head_start.ports.host)
    return lambda stop: _main(settings, catalogue, head_start, new_key, stop)


def _embedded(settings: Settings, host: str) -> Settings:
    """The settings, with defaults for one machine where nothing else is set."""
    defaults = {"worker_drain_seconds": _DRAIN, "trusted_hosts": ",".join(_own_names(host))}
    unset = {name: value for name, value in defaults.items() if name not in settings.model_fields_set}
    return settings.model_copy(update={**unset, "public_sessions": public_sessions(settings, host)})


def _own_names(host: str) -> list[str]:
    """The host names that the API accepts. A foreign name that resolves to this machine (DNS rebinding) is refused."""
    name = f"[{host}]" if ":" in host else host
    return list(HOST_NAMES) if is_loopback(host) else [*HOST_NAMES, name]


def public_sessions(settings: Settings, host: str) -> bool:
    """Whether sessions start without a credential: the setting, or by default only where no other machine can call."""
    if settings.public_sessions is not None:
        return settings.public_sessions
    return is_loopback(host) and not settings.trusted_proxies


async def _main(
    settings: Settings, catalogue: Catalogue, head_start: HeadStart, new_key: str | None, stop: asyncio.Event
) -> int:
    source, url, ui_port = SharedParts(), url_of(head_start.listener), head_start.ports.ui or free_port()
    if new_key:
        exits.say(f"admin key {new_key}")
    # The API starts first, so that it can report what is missing while Temporal is downloaded, built or started.
    app = create_app(source, options=lambda: ApiOptions.of(settings))
    api = ApiServer(app, head_start.listener, keep_alive=settings.http_keep_alive, proxies=settings.trusted_proxies)
    async with beside(api.run_until(stop), stop) as serving, _temporal(settings, head_start, ui_port, stop) as address:
        if address:
            settings = settings.model_copy(update={"temporal_ui_url": temporal.ui_url(ui_port)})
        parts = await unless_stopped(stop, connect_worker(settings, catalogue, address=address))
        if parts is not None:
            # From here on this process owns the data directory.
            with published_url(settings.data_dir, url):
                await _work(source, parts, url, stop, new_key)
            await asyncio.wait({serving})  # its last requests still need Temporal
    return exits.OK


async def _work(source: SharedParts, parts: Parts, url: str, stop: asyncio.Event, new_key: str | None) -> None:
    """Run the worker and give the API its services until `stop` is set; print `ready` once both serve."""
    source.parts = parts
    try:
        drain = parts.settings.worker_drain_seconds
        async with beside(
            run_repeatedly("worker", lambda: serve_worker(parts.workers.for_jobs, stop, drain=drain), stop), stop
        ):
            if await unless_stopped(stop, until_answering(url, "/readyz")):
                if (served := parts.settings.served_surfaces()) is None or "page" in served:
                    secret = await parts.services.page_sessions.link()
                    exits.say(f"page {url}/ui/open/{secret}  (opens once, as administrator, within an hour)")
                announce(url, parts.services.jobs_page, new_key)
                await parts.report_unserved()
                await unless_stopped(stop, parts.workers.opened())
            await stop.wait()
    finally:
        await parts.aclose()


def announce(url: str, jobs_page: str, new_key: str | None) -> None:
    """Print that everything serves. On a terminal, print the key again: lines of the start may stand between."""
    process.ready(f"{url}  docs {url}/docs  temporal-ui {jobs_page}")
    if new_key and sys.stdout.isatty():
        exits.say(f"admin key {new_key}")


@asynccontextmanager
async def _temporal(
    settings: Settings, head_start: HeadStart, ui_port: int, stop: asyncio.Event
) -> AsyncIterator[str | None]:
    """The address of a Temporal server that runs during the block; None if one is configured or `stop` was set."""
    if not needs_temporal():
        yield None
        return
    starting = temporal.running_server(
        settings.data_dir,
        head_start.ports.temporal,
        ui_port,
        stop,
        port_flag=TEMPORAL_FLAG,
        first_server=head_start.server,
    )
    async with starting as server:
        yield server.address if server else None
