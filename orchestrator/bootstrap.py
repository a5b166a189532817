"""The composition root: reads the settings and builds everything, here and nowhere else."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
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
from orchestrator.bus.memory import MemoryBus
from orchestrator.bus.over_redis import RedisBus
from orchestrator.delivery.addresses import checked_at_registration
from orchestrator.delivery.sender import HttpWebhookSender
from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.errors import Unavailable
from orchestrator.engine.connect import connect, connect_options
from orchestrator.engine.conversing import ConversationGateway
from orchestrator.engine.gateway import TemporalGateway
from orchestrator.engine.namespace import ensure_namespace
from orchestrator.engine.schedules import ensure_reconciler
from orchestrator.engine.server_files import search_attributes
from orchestrator.engine.worker import build_courier, build_worker, check_in_sandbox
from orchestrator.ground import Ground, open_ground, redis_url
from orchestrator.logs import configure
from orchestrator.plugins import build_catalogue, load_plugins
from orchestrator.sealing import Sealer
from orchestrator.services.access import Authenticator, BootstrapKey, IssuedKeys
from orchestrator.services.auditing import AuditLog
from orchestrator.services.catalogue import CatalogueReader
from orchestrator.services.controlling import JobController
from orchestrator.services.conversing import Conversations
from orchestrator.services.deciding import DecisionMaker
from orchestrator.services.delivering import WebhookDeliverer
from orchestrator.services.deployment import Deployment
from orchestrator.services.dispatching import DeliveryDispatcher
from orchestrator.services.figures import FiguresReader
from orchestrator.services.following import JobFollower
from orchestrator.services.keys import KeyIssuer
from orchestrator.services.limiting import RateLimiter, RequestLimits
from orchestrator.services.metrics import MetricsReader
from orchestrator.services.outcomes import OutcomeRecorder
from orchestrator.services.output import JobOutputs
from orchestrator.services.own import own_work
from orchestrator.services.partnerships import PartnershipReader
from orchestrator.services.payloads import DeliveryBodies
from orchestrator.services.quotas import Quotas
from orchestrator.services.readiness import Readiness
from orchestrator.services.reconciling import IndexReconciler
from orchestrator.services.registry import Services
from orchestrator.services.remembering import ConversationRecords
from orchestrator.services.resources import ResourceMeter
from orchestrator.services.starting import JobStarter
from orchestrator.services.tokens import TokenSigner
from orchestrator.services.users import BootstrapUser, SignedTokens, UserAccounts
from orchestrator.services.watching import JobWatcher
from orchestrator.services.webhooks import WebhookRegistry
from orchestrator.settings import Settings
from orchestrator.storage.artifacts import ArtifactRepository
from orchestrator.storage.attempts import AttemptRepository
from orchestrator.storage.audit import AuditRepository
from orchestrator.storage.database import Database
from orchestrator.storage.deliveries import DeliveryRepository
from orchestrator.storage.figures import FiguresRepository
from orchestrator.storage.jobs import JobRepository
from orchestrator.storage.metrics import MetricsRepository
from orchestrator.storage.users import UserRepository
from orchestrator.storage.webhooks import WebhookRepository
from orchestrator.storage.work import WorkRepository
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
    client: Client
    gateway: TemporalGateway
    database: Database
    reports: Database
    jobs: JobRepository
    attempts: AttemptRepository
    artifacts: ArtifactRepository
    sealer: Sealer
    issued_keys: IssuedKeys
    dispatcher: DeliveryDispatcher
    bus: MemoryBus | RedisBus
    services: Services
    reconciler: IndexReconciler
    sender: HttpWebhookSender | None = None
    runtime: "OpenRuntime | None" = None

    def worker(self) -> Worker:
        """A worker for every workflow and agent of the catalogue. Not for a lazy client."""
        return build_worker(
            self.client,
            task_queue=self.settings.task_queue,
            workflows=[*WORKFLOWS, *(entry.workflow for entry in self.catalogue.code_workflows)],
            activities=self.activities(),
            beside=self.courier(),
        )

    def courier(self) -> Worker:
        """The worker for webhook deliveries, which runs beside the one for jobs."""
        return build_courier(self.client, task_queue=self.settings.task_queue, deliver=self.deliver())

    def deliver(self) -> Callable[..., Any]:
        """The one activity that it runs."""
        services = self.services
        if self.sender is None:
            self.sender = HttpWebhookSender(allow_private=self.settings.webhook_allow_private)
        deliverer = WebhookDeliverer(
            DeliveryRepository(self.database),
            WebhookRepository(self.database),
            DeliveryBodies(services.reader, services.follower, services.outputs),
            sender=self.sender,
            sealer=self.sealer,
            dispatcher=self.dispatcher,
            clock=now,
        )
        return WebhookActivities(deliverer).deliver_webhook

    def activities(self) -> Sequence[Callable[..., Any]]:
        """Every activity that the worker for jobs runs."""
        # The provider libraries cost seconds and some 80 MB: an API process never loads them.
        from orchestrator.staffing import open_runtime  # noqa: PLC0415

        if self.runtime is None:
            self.runtime = open_runtime(self.settings, now)
        agents = AgentActivities(self.catalogue, self.runtime.runner, self.attempts, self.artifacts, now, bus=self.bus)
        records = RecordActivities(OutcomeRecorder(self.jobs), self.reconciler, clock=now)
        conversations = ConversationActivities(
            ConversationRecords(
                self.jobs,
                self.artifacts,
                self.services.follower,
                DeliveryRepository(self.database),
                self.dispatcher,
                clock=now,
            )
        )
        return [
            *activities(agents, self.catalogue.activities),
            records.record_outcome,
            records.reconcile_index,
            conversations.accept_turn,
            conversations.await_job,
            conversations.recall_conversation,
            conversations.remember_conversation,
            conversations.end_session,
        ]

    async def aclose(self) -> None:
        """Let go of connections."""
        if self.runtime is not None:
            await self.runtime.models.aclose()
        if self.sender is not None:
            await self.sender.aclose()
        await self.services.reader.settle()
        await self.dispatcher.settle()
        await self.services.limits.aclose()
        await self.issued_keys.settle()
        await self.bus.aclose()
        await self.database.close()
        await self.reports.close()


def assemble(settings: Settings, catalogue: Catalogue, client: Client) -> Parts:
    """Build every part over one client; opens nothing by itself. Raises `Unavailable` without a secret to seal with."""
    on = open_ground(settings, client, now)
    return Parts(
        settings=settings,
        catalogue=catalogue,
        client=client,
        gateway=on.gateway,
        database=on.database,
        reports=on.reports,
        jobs=on.jobs,
        attempts=on.attempts,
        artifacts=on.artifacts,
        sealer=on.sealer,
        issued_keys=on.issued_keys,
        dispatcher=on.dispatcher,
        bus=on.bus,
        services=_services(
            settings, catalogue, on, temporal_ui=f"{settings.temporal_ui_url}/namespaces/{client.namespace}"
        ),
        reconciler=IndexReconciler(on.gateway, on.reader, on.jobs, on.attempts, on.dispatcher, clock=now),
    )


def _services(settings: Settings, catalogue: Catalogue, on: Ground, *, temporal_ui: str) -> Services:
    check_url = partial(checked_at_registration, allow_private=settings.webhook_allow_private)
    quotas = Quotas(settings.tier_limits(), on.jobs, on.attempts, clock=now)
    follower = JobFollower(on.gateway, on.reader)
    starter = JobStarter(catalogue, on.gateway, on.jobs, quotas, check_url=check_url, clock=now, new_id=new_id)
    controller = JobController(on.gateway, on.reader, follower, on.jobs)
    outputs = JobOutputs(on.reader, on.artifacts)
    metrics = MetricsReader(MetricsRepository(on.reports), catalogue, clock=now)
    readiness = Readiness(
        on.gateway,
        on.database,
        task_queue=settings.task_queue,
        cache=on.bus.ping,
        models=bool(settings.llm_base_url or settings.openai_api_key or settings.anthropic_api_key),
    )
    limits = RequestLimits(RateLimiter(redis_url(settings)), settings.tier_limits(), settings.surface_windows())
    signer = TokenSigner(_token_secret(settings, on.sealer), clock=now)
    access = Authenticator([BootstrapKey(settings.admin_api_key), on.issued_keys, SignedTokens(signer, clock=now)])
    return Services(
        access=access,
        keys=KeyIssuer(on.keys, on.sealer, on.issued_keys, clock=now, new_id=new_id),
        users=UserAccounts(UserRepository(on.database), signer, bootstrap=_bootstrap_user(settings), clock=now),
        audit=AuditLog(AuditRepository(on.database)),
        catalogue=CatalogueReader(catalogue, on.gateway, on.attempts, task_queue=settings.task_queue, clock=now),
        starter=starter,
        reader=on.reader,
        follower=follower,
        watcher=JobWatcher(follower, on.bus, access),
        controller=controller,
        outputs=outputs,
        metrics=metrics,
        figures=FiguresReader(FiguresRepository(on.reports), catalogue, clock=now),
        readiness=readiness,
        limits=limits,
        quotas=quotas,
        webhooks=_webhooks(on.database, on.dispatcher, on.sealer, check_url),
        partnerships=PartnershipReader(catalogue, metrics, WorkRepository(on.reports), readiness, clock=now),
        decisions=DecisionMaker(starter, follower, outputs, model=settings.decision_model),
        deployment=Deployment(settings, readiness, limits),
        resources=ResourceMeter(),
        conversations=Conversations(
            ConversationGateway(on.client, settings.task_queue),
            ConversationRecords(
                on.jobs, on.artifacts, follower, DeliveryRepository(on.database), on.dispatcher, clock=now
            ),
            on.bus,
            quotas=quotas,
            reader=on.reader,
            outputs=outputs,
            idle=settings.conversation_idle,
            patience=settings.sync_timeout,
            job_timeout=settings.job_timeout,
            new_id=new_id,
        ),
        own=own_work(on.database, on.gateway, starter, on.reader, controller, clock=now, new_id=new_id),
        sync_timeout=settings.sync_timeout,
        temporal_ui=temporal_ui,
    )


def _webhooks(
    database: Database, dispatcher: DeliveryDispatcher, sealer: Sealer, check_url: Callable[[str], Awaitable[object]]
) -> WebhookRegistry:
    webhooks, deliveries = WebhookRepository(database), DeliveryRepository(database)
    return WebhookRegistry(webhooks, deliveries, dispatcher, sealer, check_url=check_url, clock=now, new_id=new_id)


def _token_secret(settings: Settings, sealer: Sealer) -> str:
    given = settings.jwt_secret_key
    return given.get_secret_value() if given is not None else sealer.derived("tokens").hex()


def _bootstrap_user(settings: Settings) -> BootstrapUser | None:
    if not settings.admin_username or settings.admin_password is None:
        return None
    return BootstrapUser(settings.admin_username, settings.admin_password)


async def prepare(parts: Parts, *, reconcile: bool = True) -> None:
    """Make Temporal and the index ready for jobs: schema, search attributes, retention, reconciler. Idempotent.

    Raises `Unavailable`, and `CatalogueError` for a workflow class that no worker could run.
    """
    check_in_sandbox(parts.catalogue.code_workflows)
    await parts.database.migrate()
    await ensure_namespace(parts.client, retention_days=parts.settings.retention_days, attributes=search_attributes())
    if not reconcile:
        return
    interval = timedelta(seconds=parts.settings.reconcile_interval)
    await ensure_reconciler(parts.client, parts.settings.task_queue, every=interval)


async def connect_worker(settings: Settings, *, address: str | None = None) -> Parts:
    """The parts of a process that runs a worker: connected, prepared. Waits for Temporal and says so."""
    catalogue = build_catalogue(load_plugins(settings.plugin_modules()))
    options = connect_options(address=address)
    runtime = telemetry(settings)
    waited = False
    while True:
        try:
            return await _prepared(settings, catalogue, await connect(options, lazy=False, runtime=runtime))
        except Unavailable as fault:
            log.log(logging.DEBUG if waited else logging.WARNING, "waiting", fault=fault.message)
            waited = True
            await asyncio.sleep(1)


async def _prepared(settings: Settings, catalogue: Catalogue, client: Client) -> Parts:
    parts = assemble(settings, catalogue, client)
    try:
        await prepare(parts)
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
        return cls(_open_lazily)

    @classmethod
    def over(cls, parts: Parts) -> "Stack":
        """A stack over parts that are open already."""

        async def ready() -> Parts:
            return parts

        return cls(ready)

    async def services(self) -> Services:
        """The services, opened now if this is the first call. Raises `Unavailable`, `CatalogueError`."""
        if self._parts is None:
            async with self._lock:
                if self._parts is None:
                    self._parts = await self._open()
        return self._parts.services

    async def aclose(self) -> None:
        """Let go of connections; the next call opens them again."""
        if self._parts is not None:
            await self._parts.aclose()
            self._parts = None


async def _open_lazily() -> Parts:
    settings = Settings()
    if not structlog.is_configured():  # served by a bare ASGI server rather than by `orchestrator api`
        configure(settings.log_level, settings.log_format)
    catalogue = build_catalogue(load_plugins(settings.plugin_modules()))
    client = await connect(connect_options(), lazy=True)
    parts = assemble(settings, catalogue, client)
    await parts.database.migrate()
    return parts
