"""`orchestrator dev`: Temporal, API and worker on one machine, in one process and one child (A12)."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from pydantic import SecretStr

from api.app import create_app
from api.hardening import ApiOptions
from orchestrator.commandline import temporal
from orchestrator.commandline.admin_key import ensure_key
from orchestrator.commandline.doctor.collisions import refuse_collisions
from orchestrator.commandline.kept_url import kept_url
from orchestrator.commandline.server import process
from orchestrator.commandline.server.http_server import ApiServer, until_answering
from orchestrator.commandline.server.ports import free_port, listen, url_of
from orchestrator.commandline.server.tasks import beside, unless_stopped
from orchestrator.commandline.server.upkeep import keep_going, serve_worker
from orchestrator.commandline.terminal import exits
from orchestrator.composition.process import Parts, connect_worker, load_catalogue
from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.errors import Unavailable
from orchestrator.network.loopback import HOST_NAMES, is_loopback
from orchestrator.services.container import Services
from orchestrator.settings import Settings

_DRAIN: Final = 5.0  # seconds: who pressed Ctrl-C waits for it, and what is cut off is made again at the next start


@dataclass(frozen=True, slots=True)
class DevPorts:
    """Where the three servers listen; port 0 takes a free one."""

    host: str
    api: int
    temporal: int
    ui: int


class SharedParts:
    """Gives the API the services of the parts that it shares with the worker; who opened the parts closes them."""

    def __init__(self) -> None:
        self.parts: Parts | None = None

    async def services(self) -> Services:
        """The services. Raises `Unavailable` until the parts are open."""
        if self.parts is None:
            raise Unavailable("Still starting: Temporal is not up yet")
        return self.parts.services

    async def aclose(self) -> None:
        """Nothing: the worker still needs the parts."""


def run(settings: Settings, ports: DevPorts) -> int:
    """Run everything until told to stop. Answers the exit code; raises `Refused`, `Misconfigured`."""
    refuse_collisions()
    catalogue = load_catalogue(settings)
    made_key = None if settings.admin_api_key else ensure_key(settings.data_dir)
    if made_key:
        settings = settings.model_copy(update={"admin_api_key": SecretStr(made_key)})
    settings = _embedded(settings, ports.host)
    return process.serve(settings, lambda stop: _main(settings, catalogue, ports, made_key, stop))


def _embedded(settings: Settings, host: str) -> Settings:
    """The settings with what is usual on one machine, where nothing else is set."""
    usual = {"worker_drain_seconds": _DRAIN, "trusted_hosts": ",".join(_own_names(host))}
    unset = {name: value for name, value in usual.items() if name not in settings.model_fields_set}
    return settings.model_copy(update={**unset, "public_sessions": public_sessions(settings, host)})


def _own_names(host: str) -> list[str]:
    """The host names under which the API answers: a stranger's name that leads here (DNS rebinding) is none of them."""
    named = f"[{host}]" if ":" in host else host
    return list(HOST_NAMES) if is_loopback(host) else [*HOST_NAMES, named]


def public_sessions(settings: Settings, host: str) -> bool:
    """Whether sessions start without a credential: as the settings say, else where no other machine can call."""
    if settings.public_sessions is not None:
        return settings.public_sessions
    return is_loopback(host) and not settings.trusted_proxies


async def _main(
    settings: Settings, catalogue: Catalogue, ports: DevPorts, made_key: str | None, stop: asyncio.Event
) -> int:
    source = SharedParts()
    ports = replace(ports, ui=ports.ui or free_port())
    with listen(ports.host, ports.api, "--port") as listener:
        if made_key:
            exits.say(f"admin key {made_key}")
        # The API comes up first: it can say what is missing while Temporal is still built or started.
        app = create_app(source, options=lambda: ApiOptions.of(settings))
        api = ApiServer(app, listener, keep_alive=settings.http_keep_alive, proxies=settings.trusted_proxies)
        async with beside(api.run_until(stop), stop) as serving, _temporal(settings, ports, stop) as address:
            if address:
                settings = settings.model_copy(update={"temporal_ui_url": temporal.ui_url(ports.ui)})
            parts = await unless_stopped(stop, connect_worker(settings, catalogue, address=address))
            if parts is not None:
                # From here on the data directory is this process's own.
                with kept_url(settings.data_dir, url_of(listener)):
                    await _work(source, parts, url_of(listener), stop)
                await asyncio.wait({serving})  # its last requests still need Temporal
    return exits.OK


async def _work(source: SharedParts, parts: Parts, url: str, stop: asyncio.Event) -> None:
    """Run the worker and give the API its services until `stop` is set; say when all is ready."""
    source.parts = parts
    try:
        drain = parts.settings.worker_drain_seconds
        async with beside(
            keep_going("worker", lambda: serve_worker(parts.workers.for_jobs, stop, drain=drain), stop), stop
        ):
            if await unless_stopped(stop, until_answering(url, "/readyz")):
                process.ready(f"{url}  docs {url}/docs  temporal-ui {parts.services.jobs_page}")
                await parts.report_unserved()
            await stop.wait()
    finally:
        await parts.aclose()


@asynccontextmanager
async def _temporal(settings: Settings, ports: DevPorts, stop: asyncio.Event) -> AsyncIterator[str | None]:
    """The address of a server of our own, kept going; None when another is configured or `stop` was set."""
    if os.environ.get("TEMPORAL_ADDRESS", "").strip():
        yield None
        return
    starting = temporal.running_server(settings.data_dir, ports.temporal, ports.ui, stop, port_flag="--temporal-port")
    async with starting as server:
        yield server.address if server else None
