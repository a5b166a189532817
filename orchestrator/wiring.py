"""Wires the services of one process: every service that a surface may call, over the opened ground."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial

from orchestrator.delivery.addresses import checked_at_registration
from orchestrator.domain.catalogue import Catalogue
from orchestrator.engine.conversing import ConversationGateway
from orchestrator.ground import Ground, redis_url
from orchestrator.sealing import Sealer
from orchestrator.services.access.audit import AuditLog
from orchestrator.services.access.authentication import Authenticator, BootstrapKey
from orchestrator.services.access.keys import KeyIssuer
from orchestrator.services.access.quotas import Quotas
from orchestrator.services.access.rate_limits import RateLimiter, RequestLimits
from orchestrator.services.access.tokens import TokenRules, TokenSigner
from orchestrator.services.access.users import Accounts, BootstrapUser, SignedTokens, UserAccounts
from orchestrator.services.catalogue import CatalogueReader
from orchestrator.services.chat.conversations import Conversations
from orchestrator.services.jobs.controls import JobController
from orchestrator.services.jobs.decisions import DecisionMaker
from orchestrator.services.jobs.output import JobOutputs
from orchestrator.services.jobs.retry import JobRetrier
from orchestrator.services.jobs.start import JobStarter
from orchestrator.services.jobs.stream import JobWatcher
from orchestrator.services.jobs.values import JobValues
from orchestrator.services.registry import Services
from orchestrator.services.reports.deployment import Deployment
from orchestrator.services.reports.figures import FiguresReader
from orchestrator.services.reports.metrics import MetricsReader
from orchestrator.services.reports.partnerships import PartnershipReader
from orchestrator.services.reports.readiness import LATELY, Readiness
from orchestrator.services.reports.resources import ResourceMeter
from orchestrator.services.user_agents.own_work import OwnWork, own_work
from orchestrator.services.webhooks.registry import WebhookRegistry
from orchestrator.settings import Settings
from orchestrator.storage.figures import FiguresRepository
from orchestrator.storage.metrics import MetricsRepository
from orchestrator.storage.token_use import TokenRepository
from orchestrator.storage.users import UserRepository
from orchestrator.storage.webhooks import WebhookRepository
from orchestrator.storage.work import WorkRepository


def wired(
    settings: Settings,
    catalogue: Catalogue,
    on: Ground,
    *,
    temporal_ui: str,
    clock: Callable[[], datetime],
    new_id: Callable[[], str],
) -> Services:
    """Put them together; opens nothing by itself. `temporal_ui` is the page of this namespace."""
    check_url = _url_check(settings, on)
    quotas = Quotas(settings.tier_limits(), on.jobs, TokenRepository(on.database), catalogue, clock=clock)
    starter = JobStarter(
        *(catalogue, on.gateway, on.jobs, quotas),
        check_url=check_url,
        clock=clock,
        new_id=new_id,
        max_input_bytes=settings.max_input_bytes,
    )
    controller = JobController(on.gateway, on.reader, on.follower, on.jobs)
    outputs = JobOutputs(on.reader, on.partials, on.artifacts, JobValues(on.values))
    metrics = MetricsReader(MetricsRepository(on.reports), catalogue, clock=clock)
    work = WorkRepository(on.reports)
    readiness = _readiness(settings, on, work, clock=clock)
    limits = RequestLimits(RateLimiter(redis_url(settings)), settings.tier_limits(), settings.surface_windows())
    access, users = _people(settings, on, clock=clock)
    return Services(
        access=access,
        keys=KeyIssuer(on.keys, on.sealer, on.issued_keys, clock=clock, new_id=new_id),
        users=users,
        audit=AuditLog(on.trail, on.sealer, clock=clock),
        catalogue=CatalogueReader(catalogue, on.gateway, on.attempts, task_queue=settings.task_queue, clock=clock),
        starter=starter,
        retrier=JobRetrier(starter, on.reader, on.jobs, on.partials, JobValues(on.values)),
        reader=on.reader,
        follower=on.follower,
        watcher=JobWatcher(on.follower, on.bus, access),
        controller=controller,
        outputs=outputs,
        metrics=metrics,
        figures=FiguresReader(FiguresRepository(on.reports), catalogue, clock=clock),
        readiness=readiness,
        limits=limits,
        quotas=quotas,
        webhooks=_webhooks(on, check_url, clock=clock, new_id=new_id),
        partnerships=PartnershipReader(catalogue, metrics, work, readiness, clock=clock),
        decisions=DecisionMaker(starter, on.follower, outputs, model=settings.decision_model),
        deployment=Deployment(settings, readiness, limits),
        resources=ResourceMeter(),
        conversations=_conversations(settings, on, quotas, outputs, new_id=new_id),
        own=_own_work(settings, on, starter, controller, clock=clock, new_id=new_id),
        public_sessions=settings.public_sessions is True,
        sync_timeout=settings.sync_timeout,
        temporal_ui=temporal_ui,
    )


def _own_work(
    settings: Settings,
    on: Ground,
    starter: JobStarter,
    controller: JobController,
    *,
    clock: Callable[[], datetime],
    new_id: Callable[[], str],
) -> OwnWork:
    return own_work(
        *(on.database, on.gateway, starter, on.reader, controller),
        clock=clock,
        new_id=new_id,
        most_rows=settings.most_rows,
    )


def _readiness(settings: Settings, on: Ground, work: WorkRepository, *, clock: Callable[[], datetime]) -> Readiness:
    return Readiness(
        *(on.gateway, on.database),
        task_queue=settings.task_queue,
        cache=on.bus.ping,
        models=(lambda: work.asked(since=clock() - LATELY)) if settings.has_model_provider() else None,
    )


def _url_check(settings: Settings, on: Ground) -> Callable[[str, str], Awaitable[object]]:
    """Refuses what an owner may not name as a receiver; takes the URL and the owner."""

    async def check(url: str, owner: str) -> None:
        resolve = partial(on.look_ups.resolve, owner)
        await checked_at_registration(url, settings.webhook_allow_private, resolve=resolve)

    return check


def _people(settings: Settings, on: Ground, *, clock: Callable[[], datetime]) -> tuple[Authenticator, UserAccounts]:
    signer = TokenSigner(*_token_secrets(settings, on.sealer), clock=clock, rules=_token_rules(settings))
    users, bootstrap = UserRepository(on.database), _bootstrap_user(settings)
    accounts = Accounts(users, signer, bootstrap=bootstrap)
    tokens = SignedTokens(signer, accounts, clock=clock)
    access = Authenticator([BootstrapKey(settings.admin_api_key), on.issued_keys, tokens])
    return access, UserAccounts(users, accounts, signer, bootstrap=bootstrap, clock=clock)


def _webhooks(
    on: Ground,
    check_url: Callable[[str, str], Awaitable[object]],
    *,
    clock: Callable[[], datetime],
    new_id: Callable[[], str],
) -> WebhookRegistry:
    return WebhookRegistry(
        WebhookRepository(on.database),
        on.deliveries,
        on.dispatcher,
        on.sealer,
        check_url=check_url,
        clock=clock,
        new_id=new_id,
    )


def _conversations(
    settings: Settings, on: Ground, quotas: Quotas, outputs: JobOutputs, *, new_id: Callable[[], str]
) -> Conversations:
    return Conversations(
        ConversationGateway(on.client, settings.task_queue),
        on.conversations,
        on.bus,
        quotas=quotas,
        reader=on.reader,
        outputs=outputs,
        idle=settings.conversation_idle,
        patience=settings.sync_timeout,
        job_timeout=settings.job_timeout,
        new_id=new_id,
    )


def _token_secrets(settings: Settings, sealer: Sealer) -> list[str]:
    given = settings.jwt_secret_key
    return [given.get_secret_value()] if given is not None else [one.hex() for one in sealer.derived_by_each("tokens")]


def _token_rules(settings: Settings) -> TokenRules:
    life = timedelta(seconds=settings.jwt_longest_life)
    return TokenRules(settings.jwt_issuer, settings.jwt_audience, life)


def _bootstrap_user(settings: Settings) -> BootstrapUser | None:
    if not settings.admin_username or settings.admin_password is None:
        return None
    return BootstrapUser(settings.admin_username, settings.admin_password)
