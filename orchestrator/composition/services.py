"""Builds the services of one process: every use case that a surface may call, over one backend."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Final

from orchestrator.composition.backend import Backend, new_id, now, redis_url
from orchestrator.delivery.addresses import checked_at_registration
from orchestrator.domain.catalogue import Catalogue
from orchestrator.engine.conversations import ConversationGateway
from orchestrator.engine.people import PeopleGateway
from orchestrator.services.access.audit import AuditLog
from orchestrator.services.access.authentication import Authenticator, BootstrapKey
from orchestrator.services.access.idempotency import IdempotentRequests
from orchestrator.services.access.keys import KeyIssuer
from orchestrator.services.access.page_sessions import PageSessions
from orchestrator.services.access.quotas import Quotas
from orchestrator.services.access.rate_limits import RateLimiter, RequestLimits
from orchestrator.services.access.tokens import TokenRules, TokenSigner
from orchestrator.services.access.users import Accounts, BootstrapUser, SignedTokens, UserAccounts
from orchestrator.services.catalogue import CatalogueReader
from orchestrator.services.chat.conversations import Conversations
from orchestrator.services.container import Services
from orchestrator.services.jobs.changes import JobChanges
from orchestrator.services.jobs.controls import JobController
from orchestrator.services.jobs.decisions import DecisionMaker
from orchestrator.services.jobs.models import ModelCheck
from orchestrator.services.jobs.output import JobOutputs
from orchestrator.services.jobs.overview import JobOverview
from orchestrator.services.jobs.questions import JobQuestions
from orchestrator.services.jobs.retry import JobRetrier
from orchestrator.services.jobs.retry_refusals import RetryRefusals
from orchestrator.services.jobs.start import JobStarter
from orchestrator.services.jobs.stream import JobWatcher
from orchestrator.services.jobs.values import JobValues
from orchestrator.services.reports.deployment import Deployment
from orchestrator.services.reports.figures import FiguresReader
from orchestrator.services.reports.metrics import MetricsReader
from orchestrator.services.reports.partnerships import PartnershipReader
from orchestrator.services.reports.readiness import LATELY, Readiness
from orchestrator.services.reports.resources import ResourceMeter
from orchestrator.services.reports.workers import WorkerReader
from orchestrator.services.schedules.registry import Schedules
from orchestrator.services.user_agents.agents import UserAgents
from orchestrator.services.user_agents.configurations import Configurations
from orchestrator.services.user_agents.executions import Executions
from orchestrator.services.webhooks.account_events import AccountEvents
from orchestrator.services.webhooks.payloads import DeliveryBodies
from orchestrator.services.webhooks.registry import WebhookRegistry
from orchestrator.settings import Settings
from orchestrator.storage.account_events import AccountEventRepository
from orchestrator.storage.configurations import ConfigurationRepository
from orchestrator.storage.executions import ExecutionRepository
from orchestrator.storage.figures import FiguresRepository
from orchestrator.storage.idempotency import IdempotencyRepository
from orchestrator.storage.metrics import MetricsRepository
from orchestrator.storage.overviews import OverviewRepository
from orchestrator.storage.schedules import ScheduleRepository
from orchestrator.storage.token_use import TokenRepository
from orchestrator.storage.user_agents import UserAgentRepository
from orchestrator.storage.users import UserRepository
from orchestrator.storage.webhooks import WebhookRepository
from orchestrator.storage.work import WorkRepository

# Longer than a request without a synchronous wait may take.
_MAX_REQUEST: Final = timedelta(minutes=2)


def build_services(settings: Settings, catalogue: Catalogue, backend: Backend) -> Services:
    """Build all services. Opens no connection."""
    work, overviews = WorkRepository(backend.reports), OverviewRepository(backend.reports)
    quotas = Quotas(settings.tier_limits(), backend.jobs, TokenRepository(backend.database), catalogue, clock=now)
    models = ModelCheck(catalogue, settings.model_providers())
    starter = _starter(settings, catalogue, backend, quotas, models)
    retrier = JobRetrier(starter, backend.reader, backend.jobs, backend.partials, JobValues(backend.values))
    controller = JobController(backend.gateway, backend.reader, backend.follower, backend.jobs)
    outputs = JobOutputs(backend.reader, backend.partials, backend.artifacts, JobValues(backend.values))
    metrics = MetricsReader(MetricsRepository(backend.reports), catalogue, clock=now)
    readiness = _readiness(settings, backend, work)
    limits = RequestLimits(RateLimiter(redis_url(settings)), settings.tier_limits(), settings.surface_windows())
    access, users, page_sessions = _authentication(settings, backend)
    user_agents, configurations, executions = _user_agents(settings, backend, starter, controller)
    return Services(
        access=access,
        keys=KeyIssuer(backend.keys, backend.sealer, backend.issued_keys, clock=now, new_id=new_id),
        users=users,
        page_sessions=page_sessions,
        audit=AuditLog(backend.trail, backend.sealer, clock=now),
        idempotency=_idempotency(settings, backend),
        catalogue=CatalogueReader(
            catalogue, backend.gateway, backend.attempts, task_queue=settings.task_queue, clock=now
        ),
        starter=starter,
        retrier=retrier,
        retry_refusals=RetryRefusals(retrier, clock=now),
        reader=backend.reader,
        overview=JobOverview(overviews, backend.reader),
        changes=JobChanges(overviews),
        follower=backend.follower,
        watcher=JobWatcher(backend.follower, backend.bus, access),
        controller=controller,
        questions=JobQuestions(catalogue, backend.reader, PeopleGateway(backend.client)),
        outputs=outputs,
        metrics=metrics,
        figures=FiguresReader(FiguresRepository(backend.reports), catalogue, clock=now),
        readiness=readiness,
        workers=WorkerReader(backend.gateway, overviews, catalogue, task_queue=settings.task_queue, clock=now),
        limits=limits,
        quotas=quotas,
        webhooks=_webhooks(settings, backend),
        account_events=AccountEvents(
            AccountEventRepository(backend.database),
            DeliveryBodies(backend.reader, backend.follower, outputs),
            access,
        ),
        schedules=Schedules(ScheduleRepository(backend.database), backend.schedules, starter, clock=now, new_id=new_id),
        partnerships=PartnershipReader(catalogue, metrics, work, readiness, clock=now),
        decisions=DecisionMaker(starter, backend.follower, outputs, model=settings.decision_model),
        deployment=Deployment(settings, readiness, limits),
        resources=ResourceMeter(),
        conversations=_conversations(settings, backend, quotas, models, outputs),
        user_agents=user_agents,
        configurations=configurations,
        executions=executions,
        public_sessions=settings.public_sessions is True,
        sync_timeout=settings.sync_timeout,
        temporal_ui=f"{settings.temporal_ui_url}/namespaces/{backend.client.namespace}",
    )


def _starter(
    settings: Settings, catalogue: Catalogue, backend: Backend, quotas: Quotas, models: ModelCheck
) -> JobStarter:
    return JobStarter(
        catalogue,
        backend.gateway,
        backend.jobs,
        quotas,
        models,
        check_url=_url_check(settings, backend),
        clock=now,
        new_id=new_id,
        max_input_bytes=settings.max_input_bytes,
    )


def _idempotency(settings: Settings, backend: Backend) -> IdempotentRequests:
    return IdempotentRequests(
        IdempotencyRepository(backend.database),
        backend.sealer,
        clock=now,
        new_id=new_id,
        lease=timedelta(seconds=settings.sync_timeout) + _MAX_REQUEST,
    )


def _user_agents(
    settings: Settings, backend: Backend, starter: JobStarter, controller: JobController
) -> tuple[UserAgents, Configurations, Executions]:
    most = settings.most_rows
    agents, rows = UserAgentRepository(backend.database), ExecutionRepository(backend.database)
    saved = ConfigurationRepository(backend.database)
    configurations = Configurations(saved, clock=now, new_id=new_id, most=most)
    executions = Executions(
        agents,
        rows,
        backend.gateway,
        configurations=configurations,
        starter=starter,
        reader=backend.reader,
        controller=controller,
        clock=now,
    )
    user_agents = UserAgents(agents, rows, controller, clock=now, new_id=new_id, most=most)
    return user_agents, configurations, executions


def _readiness(settings: Settings, backend: Backend, work: WorkRepository) -> Readiness:
    return Readiness(
        backend.gateway,
        backend.database,
        task_queue=settings.task_queue,
        cache=backend.bus.ping,
        models=(lambda: work.provider_outcomes(since=now() - LATELY))
        if not settings.model_providers().offline
        else None,
    )


def _url_check(settings: Settings, backend: Backend) -> Callable[[str, str], Awaitable[object]]:
    """The check of the URL that an owner names as a receiver. It takes the URL and the owner."""

    async def check(url: str, owner: str) -> None:
        resolve = partial(backend.look_ups.resolve, owner)
        await checked_at_registration(url, settings.webhook_allow_private, resolve=resolve)

    return check


def _authentication(settings: Settings, backend: Backend) -> tuple[Authenticator, UserAccounts, PageSessions]:
    rules = TokenRules(settings.jwt_issuer, settings.jwt_audience, timedelta(seconds=settings.jwt_longest_life))
    signer = TokenSigner(*_token_secrets(settings, backend), clock=now, rules=rules)
    users, bootstrap = UserRepository(backend.database), _bootstrap_user(settings)
    accounts = Accounts(users, signer, bootstrap=bootstrap)
    tokens = SignedTokens(signer, accounts, clock=now)
    access = Authenticator([BootstrapKey(settings.admin_api_key), backend.issued_keys, tokens])
    sessions = PageSessions(
        users, accounts, access, signer, backend.sealer, admin_key=settings.admin_api_key, clock=now
    )
    return access, UserAccounts(users, accounts, signer, bootstrap=bootstrap, clock=now), sessions


def _token_secrets(settings: Settings, backend: Backend) -> list[str]:
    if settings.jwt_secret_key is not None:
        return [settings.jwt_secret_key.get_secret_value()]
    return [secret.hex() for secret in backend.sealer.derived_by_each("tokens")]


def _bootstrap_user(settings: Settings) -> BootstrapUser | None:
    if not settings.admin_username or settings.admin_password is None:
        return None
    return BootstrapUser(settings.admin_username, settings.admin_password)


def _webhooks(settings: Settings, backend: Backend) -> WebhookRegistry:
    return WebhookRegistry(
        WebhookRepository(backend.database),
        backend.deliveries,
        backend.dispatcher,
        backend.sealer,
        check_url=_url_check(settings, backend),
        clock=now,
        new_id=new_id,
    )


def _conversations(
    settings: Settings, backend: Backend, quotas: Quotas, models: ModelCheck, outputs: JobOutputs
) -> Conversations:
    return Conversations(
        ConversationGateway(backend.client, settings.task_queue),
        backend.conversations,
        backend.bus,
        quotas=quotas,
        models=models,
        reader=backend.reader,
        outputs=outputs,
        idle=settings.conversation_idle,
        patience=settings.sync_timeout,
        job_timeout=settings.job_timeout,
        new_id=new_id,
    )
