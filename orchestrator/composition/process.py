"""Starts one process: builds its parts over a client of Temporal, and prepares Temporal and the index for jobs."""

import asyncio
import logging
import os
from dataclasses import dataclass
from datetime import timedelta

import structlog
from temporalio.client import Client
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from orchestrator.catalogue_warnings import catalogue_warnings
from orchestrator.composition.backend import Backend, build_backend
from orchestrator.composition.services import build_services
from orchestrator.composition.workers import Workers, build_workers
from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.errors import Misconfigured, Unavailable
from orchestrator.engine import namespace
from orchestrator.engine.connect import connect, connect_options
from orchestrator.engine.schedules import ensure_reconciler
from orchestrator.engine.worker import check_in_sandbox
from orchestrator.logs import configure
from orchestrator.plugins import build_catalogue, load_plugins
from orchestrator.services.container import Services
from orchestrator.services.jobs.unserved import report_unserved
from orchestrator.settings import Settings
from orchestrator.storage.requirements import RequirementsRepository

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one process."""

    settings: Settings
    catalogue: Catalogue
    backend: Backend
    services: Services
    workers: Workers

    async def report_unserved(self, framework_queue: str | None = None) -> None:
        """Log the open jobs that a worker of this catalogue cannot serve."""
        await report_unserved(RequirementsRepository(self.backend.database), self.catalogue, framework_queue)

    async def aclose(self) -> None:
        """Close all connections."""
        await self.workers.aclose()
        await self.services.starter.writes.settle()
        await self.services.audit.aclose()
        await self.services.limits.aclose()
        await self.backend.aclose()


def build_parts(settings: Settings, catalogue: Catalogue, client: Client) -> Parts:
    """Build every part over one client. Opens no connection. Raises `Misconfigured` without a secret key."""
    backend = build_backend(settings, client)
    services = build_services(settings, catalogue, backend)
    workers = build_workers(settings, catalogue, backend, services)
    return Parts(settings, catalogue, backend, services, workers)


def load_catalogue(settings: Settings) -> Catalogue:
    """Set up logging and load the catalogue with the plugins of the settings. Raises `CatalogueError`.

    Call it before there is an event loop: the import of a plugin may take long and may need the main thread.
    """
    configure(settings.log_level, settings.log_format)
    return checked_catalogue(settings)


def checked_catalogue(settings: Settings) -> Catalogue:
    """The catalogue of the settings; its warnings are logged. Raises `CatalogueError`."""
    catalogue = build_catalogue(load_plugins(settings.plugin_modules()))
    for warning in catalogue_warnings(catalogue):
        log.warning("catalogue_warning", warning=warning)
    return catalogue


async def prepare(parts: Parts, *, reconcile: bool = True) -> None:
    """Prepare Temporal and the index for jobs: schema, search attributes, retention, reconciler. Idempotent.

    Raises `Unavailable`; `Misconfigured` if the index or the namespace belongs to another installation;
    `CatalogueError` for a workflow class that no worker could run.
    """
    check_in_sandbox(parts.catalogue.code_workflows)
    await open_index(parts)
    await parts.backend.gateway.namespace_id()
    await parts.backend.ready_namespace()
    if not reconcile:
        return
    interval = timedelta(seconds=parts.settings.reconcile_interval)
    await ensure_reconciler(parts.backend.client, parts.settings.task_queue, every=interval)


async def open_index(parts: Parts) -> None:
    """Migrate the index and check its secret key. Raises `Unavailable`, `Misconfigured`."""
    await parts.backend.database.migrate(parts.backend.trail.begin)
    await parts.backend.installation.check_secret_key()


def _check_secrets(catalogue: Catalogue) -> None:
    """Raise `Misconfigured` if this process lacks a secret that a tool names: its calls would fail one by one."""
    agents = [*catalogue.agents.values(), *catalogue.unlisted.values()]
    names = {secret.name: agent.id for agent in agents for secret in agent.secrets}
    if missing := sorted(name for name in names if not os.environ.get(name)):
        raise Misconfigured(
            f"Tools of {names[missing[0]]} need {', '.join(missing)}, which this process does not have.",
            remedy="Set the environment variables, or remove the tools.",
        )


async def connect_worker(
    settings: Settings, catalogue: Catalogue, *, address: str | None = None, create_namespace: bool = False
) -> Parts:
    """The parts of a process with a worker, connected and prepared. Waits for Temporal and logs why.

    `address` is that of the Temporal server that this process runs itself. Raises `Misconfigured`: waiting cannot
    help there.
    """
    _check_secrets(catalogue)
    options = connect_options(address=address)
    runtime = _telemetry(settings)
    logged = ""
    while True:
        try:
            client = await connect(options, lazy=False, runtime=runtime)
            if create_namespace:
                await namespace.create_namespace(client, retention_days=settings.retention_days)
            return await _prepared(settings, catalogue, client, own_server=address is not None)
        except Misconfigured:
            raise
        except Unavailable as error:
            reason = error.for_operators
            log.log(logging.DEBUG if reason == logged else logging.WARNING, "waiting", fault=reason)
            logged = reason
            await asyncio.sleep(1)


async def open_lazily(settings: Settings, catalogue: Catalogue) -> Parts:
    """The parts of a process with the API alone. Temporal may start later.

    Raises `Unavailable` without the index, `Misconfigured` if the index belongs to another installation.
    """
    parts = build_parts(settings, catalogue, await connect(connect_options(), lazy=True))
    try:
        await open_index(parts)
    except BaseException:
        await parts.aclose()
        raise
    return parts


async def _prepared(settings: Settings, catalogue: Catalogue, client: Client, *, own_server: bool) -> Parts:
    parts = build_parts(settings, catalogue, client)
    try:
        if own_server and settings.database_url is None:
            # Index and Temporal share the data directory: a new Temporal there, as after an upgrade, belongs to it.
            await open_index(parts)
            namespace_id = await namespace.namespace_id(client)
            await parts.backend.installation.bind_namespace(namespace_id, client.namespace)
        await prepare(parts)
    except BaseException:
        await parts.aclose()
        raise
    return parts


def _telemetry(settings: Settings) -> Runtime:
    """The runtime of the SDK, which serves its metrics on a separate port if one is configured."""
    if settings.worker_metrics_port is None:
        return Runtime.default()
    address = f"{settings.worker_metrics_host}:{settings.worker_metrics_port}"
    metrics = PrometheusConfig(bind_address=address, durations_as_seconds=True, counters_total_suffix=True)
    return Runtime(telemetry=TelemetryConfig(metrics=metrics))
