"""The composition root: reads the settings and builds every process out of its parts."""

import asyncio
import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog
import uuid6
from temporalio.client import Client
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.worker import Worker

from activities.agents import AgentActivities
from activities.conversations import ConversationActivities
from activities.records import RecordActivities
from activities.registry import activities
from activities.webhooks import WebhookActivities
from orchestrator.delivery.sender import HttpWebhookSender
from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.errors import Misconfigured, Unavailable
from orchestrator.domain.ports import AgentRuntime
from orchestrator.engine import namespace
from orchestrator.engine.author_activities import AuthorActivities
from orchestrator.engine.connect import connect, connect_options
from orchestrator.engine.plugin import codec_of
from orchestrator.engine.schedules import ensure_reconciler
from orchestrator.engine.visibility import Visibility
from orchestrator.engine.worker import build_courier, build_worker, check_in_sandbox
from orchestrator.ground import Ground, open_ground
from orchestrator.logs import configure
from orchestrator.plugins import build_catalogue, load_plugins
from orchestrator.runtime.bulkhead import Bulkhead
from orchestrator.services.jobs.adoption import JobAdopter
from orchestrator.services.jobs.outcomes import OutcomeRecorder
from orchestrator.services.jobs.reconciler import IndexReconciler
from orchestrator.services.jobs.retention import IndexPruner
from orchestrator.services.jobs.unserved import report_unserved
from orchestrator.services.jobs.values import JobValues
from orchestrator.services.registry import Services
from orchestrator.services.webhooks.delivery import WebhookDeliverer
from orchestrator.services.webhooks.payloads import DeliveryBodies
from orchestrator.settings import Settings
from orchestrator.storage.pruning import PruningRepository
from orchestrator.storage.requirements import RequirementsRepository
from orchestrator.storage.resets import ResetRepository
from orchestrator.storage.webhooks import WebhookRepository
from orchestrator.wiring import wired
from workflows.registry import WORKFLOWS

if TYPE_CHECKING:
    from orchestrator.staffing import OpenRuntime

log = structlog.get_logger(__name__)


def now() -> datetime:
    """The time, for every part that takes a clock."""
    return datetime.now(UTC)


def new_id() -> str:
    """The sortable, unguessable tail of a new job id."""
    value: uuid.UUID = uuid6.uuid7()
    return value.hex


@dataclass(slots=True)
class Parts:
    """What one process is made of."""

    settings: Settings
    catalogue: Catalogue
    ground: Ground
    services: Services
    reconciler: IndexReconciler
    bulkhead: Bulkhead
    sender: HttpWebhookSender | None = None
    runtime: "OpenRuntime | None" = None

    def worker(self) -> Worker:
        """A worker for every workflow and agent of the catalogue. Not for a lazy client."""
        return build_worker(
            self.ground.client,
            task_queue=self.settings.task_queue,
            workflows=[*WORKFLOWS, *(entry.workflow for entry in self.catalogue.code_workflows)],
            activities=self.activities(),
            beside=self.courier(),
            drain=self.settings.worker_drain_seconds,
            interceptors=[AuthorActivities(self.catalogue.activities, self.bulkhead)],
        )

    def courier(self) -> Worker:
        """The worker for webhook deliveries, which runs beside the one for jobs."""
        return build_courier(self.ground.client, task_queue=self.settings.task_queue, deliver=self.deliver())

    def deliver(self) -> Callable[..., Any]:
        """The one activity that it runs."""
        on = self.ground
        if self.sender is None:
            self.sender = HttpWebhookSender(allow_private=self.settings.webhook_allow_private, look_ups=on.look_ups)
        deliverer = WebhookDeliverer(
            on.deliveries,
            WebhookRepository(on.database),
            on.keys,
            DeliveryBodies(on.reader, on.follower, self.services.outputs),
            sender=self.sender,
            sealer=on.sealer,
            dispatcher=on.dispatcher,
            clock=now,
        )
        return WebhookActivities(deliverer).deliver_webhook

    def activities(self) -> Sequence[Callable[..., Any]]:
        """Every activity that the worker for jobs runs."""
        on = self.ground
        return activities(
            self.agents(self.native_runtime()),
            self.records(),
            ConversationActivities(on.conversations),
            self.catalogue.activities,
        )

    def records(self) -> RecordActivities:
        """The activities that write to the job index."""
        on = self.ground
        adopter = JobAdopter(
            self.catalogue,
            self.services.starter,
            on.gateway,
            on.jobs,
            JobValues(on.values),
            worker=on.client.identity,
        )
        outcomes = OutcomeRecorder(on.jobs, ResetRepository(on.database))
        return RecordActivities(outcomes, adopter, self.reconciler, clock=now)

    def agents(self, runtime: AgentRuntime) -> AgentActivities:
        """The activity behind every agent, over what runs them."""
        on = self.ground
        return AgentActivities(
            self.catalogue,
            runtime,
            on.attempts,
            on.artifacts,
            now,
            bus=on.bus,
            results=codec_of(on.client),
            worker=on.client.identity,
        )

    def native_runtime(self) -> AgentRuntime:
        """What runs agents on models, opened at the first call."""
        # The provider libraries cost seconds and some 80 MB: an API process never loads them.
        from orchestrator.staffing import open_runtime  # noqa: PLC0415

        if self.runtime is None:
            self.runtime = open_runtime(self.settings, now, self.bulkhead)
        return self.runtime.runner

    async def report_unserved(self, framework_queue: str | None = None) -> None:
        """Say which open jobs a worker of this catalogue cannot serve."""
        await report_unserved(RequirementsRepository(self.ground.database), self.catalogue, framework_queue)

    async def aclose(self) -> None:
        """Let go of connections."""
        self.bulkhead.close()
        if self.runtime is not None:
            await self.runtime.models.aclose()
        if self.sender is not None:
            await self.sender.aclose()
        await self.services.audit.aclose()
        await self.services.limits.aclose()
        await self.ground.aclose()


def assemble(settings: Settings, catalogue: Catalogue, client: Client) -> Parts:
    """Build every part over one client; opens nothing by itself. Raises `Misconfigured` without a secret key."""
    on = open_ground(settings, client, now)
    page = f"{settings.temporal_ui_url}/namespaces/{client.namespace}"
    return Parts(
        settings=settings,
        catalogue=catalogue,
        ground=on,
        services=wired(settings, catalogue, on, temporal_ui=page, clock=now, new_id=new_id),
        reconciler=IndexReconciler(
            on.gateway,
            Visibility(client),
            on.reader,
            on.jobs,
            on.attempts,
            resets=ResetRepository(on.database),
            dispatcher=on.dispatcher,
            pruner=IndexPruner(
                PruningRepository(on.database, on.values if settings.value_store_url else None),
                on.trail,
                settings.retention(),
            ),
            values=JobValues(on.values),
            clock=now,
        ),
        bulkhead=Bulkhead(settings.agent_block_seconds),
    )


async def prepare(parts: Parts, *, reconcile: bool = True) -> None:
    """Make Temporal and the index ready for jobs: schema, search attributes, retention, reconciler. Idempotent.

    Raises `Unavailable`; `Misconfigured` for an index or a namespace that is not ours; `CatalogueError` for a workflow
    class that no worker could run.
    """
    check_in_sandbox(parts.catalogue.code_workflows)
    await _open_index(parts)
    await parts.ground.gateway.namespace_id()
    await parts.ground.ready_namespace()
    if not reconcile:
        return
    interval = timedelta(seconds=parts.settings.reconcile_interval)
    await ensure_reconciler(parts.ground.client, parts.settings.task_queue, every=interval)


async def _open_index(parts: Parts) -> None:
    await parts.ground.database.migrate(parts.ground.trail.begin)
    await parts.ground.installation.check_secret_key()


def load_catalogue(settings: Settings) -> Catalogue:
    """The catalogue with the plugins that the settings name. Raises `CatalogueError`.

    A command calls it before it has an event loop: an import may take long, and may ask for the main thread.
    """
    configure(settings.log_level, settings.log_format)
    return build_catalogue(load_plugins(settings.plugin_modules()))


async def connect_worker(
    settings: Settings, catalogue: Catalogue, *, address: str | None = None, create_namespace: bool = False
) -> Parts:
    """The parts of a process that runs a worker: connected, prepared. Waits for Temporal and says so.

    `address` is that of a Temporal server of our own. Raises `Misconfigured` for what no waiting mends.
    """
    options = connect_options(address=address)
    runtime = telemetry(settings)
    said = ""
    while True:
        try:
            client = await connect(options, lazy=False, runtime=runtime)
            if create_namespace:
                await namespace.create_namespace(client, retention_days=settings.retention_days)
            return await _prepared(settings, catalogue, client, own_server=address is not None)
        except Misconfigured:
            raise
        except Unavailable as fault:
            why = fault.for_operators
            log.log(logging.DEBUG if why == said else logging.WARNING, "waiting", fault=why)
            said = why
            await asyncio.sleep(1)


async def _prepared(settings: Settings, catalogue: Catalogue, client: Client, *, own_server: bool) -> Parts:
    parts = assemble(settings, catalogue, client)
    try:
        if own_server and settings.database_url is None:
            # Both lie in the data directory: a Temporal that is new there, as after an upgrade, is still the index's.
            await _open_index(parts)
            await bind_namespace(parts)
        await prepare(parts)
    except BaseException:
        await parts.aclose()
        raise
    return parts


async def bind_namespace(parts: Parts) -> None:
    """Have the index belong to the Temporal namespace of these parts from now on. Raises `Unavailable`."""
    client = parts.ground.client
    await parts.ground.installation.bind_namespace(await namespace.namespace_id(client), client.namespace)


async def open_lazily(settings: Settings, catalogue: Catalogue) -> Parts:
    """The parts of an API process of its own; Temporal may come up later.

    Raises `Unavailable` without the index, `Misconfigured` for one that is not ours.
    """
    parts = assemble(settings, catalogue, await connect(connect_options(), lazy=True))
    try:
        await _open_index(parts)
    except BaseException:
        await parts.aclose()
        raise
    return parts


def telemetry(settings: Settings) -> Runtime:
    """The SDK's runtime; its metrics get a port of their own when one is configured."""
    if settings.worker_metrics_port is None:
        return Runtime.default()
    address = f"{settings.worker_metrics_host}:{settings.worker_metrics_port}"
    metrics = PrometheusConfig(bind_address=address, durations_as_seconds=True, counters_total_suffix=True)
    return Runtime(telemetry=TelemetryConfig(metrics=metrics))


class Stack:
    """What the API layer holds: opens its parts at the first request, once, start-up hook or not."""

    def __init__(self, opened: Callable[[], Any]) -> None:
        self._open = opened
        self._parts: Parts | None = None
        self._lock = asyncio.Lock()

    @classmethod
    def from_environment(cls) -> "Stack":
        """A stack for an API process of its own; Temporal may come up later."""
        return cls(_from_environment)

    @classmethod
    def over(cls, parts: Parts) -> "Stack":
        """A stack over parts that are open already."""

        async def ready() -> Parts:
            return parts

        return cls(ready)

    async def services(self) -> Services:
        """The services, opened now if this is the first call. Raises `Unavailable`, `CatalogueError`."""
        return (await self._opened()).services

    async def check(self) -> None:
        """Look whether index and Temporal are those of this installation.

        Raises `Misconfigured` when they are not, `Unavailable` while that cannot be known.
        """
        await (await self._opened()).ground.gateway.namespace_id()

    async def _opened(self) -> Parts:
        if self._parts is None:
            async with self._lock:
                if self._parts is None:
                    self._parts = await self._open()
        return self._parts

    async def aclose(self) -> None:
        """Let go of connections; the next call opens them again."""
        if self._parts is not None:
            await self._parts.aclose()
            self._parts = None


async def _from_environment() -> Parts:
    settings = Settings()
    if not structlog.is_configured():  # served by a bare ASGI server rather than by `orchestrator api`
        configure(settings.log_level, settings.log_format)
    return await open_lazily(settings, build_catalogue(load_plugins(settings.plugin_modules())))
