"""The backend of one process, built from the settings: the stores, the client of Temporal, the bus, the secret key."""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

import uuid6
from temporalio.client import Client

from orchestrator.bus.memory import MemoryBus
from orchestrator.delivery.look_ups import LookUps
from orchestrator.domain.errors import Misconfigured
from orchestrator.domain.ports import ValueStore
from orchestrator.engine.gateway import TemporalGateway
from orchestrator.engine.job_schedules import JobSchedules
from orchestrator.engine.namespace import ensure_namespace
from orchestrator.engine.plugin import codec_of
from orchestrator.engine.server_files import search_attributes
from orchestrator.security.sealing import Sealer, read_or_make_secret, secret_file
from orchestrator.services.access.authentication import IssuedKeys
from orchestrator.services.chat.records import ConversationRecords
from orchestrator.services.jobs.follower import JobFollower
from orchestrator.services.jobs.partial_output import PartialOutputs
from orchestrator.services.jobs.reader import JobReader
from orchestrator.services.jobs.reasons import ReasonNotes
from orchestrator.services.jobs.values import JobValues
from orchestrator.services.secrets.installation import Installation, SecretKey
from orchestrator.services.webhooks.dispatcher import DeliveryDispatcher
from orchestrator.settings import Settings
from orchestrator.storage.artifacts import ArtifactRepository
from orchestrator.storage.attempts import AttemptRepository
from orchestrator.storage.audit import AuditRepository
from orchestrator.storage.database import Database
from orchestrator.storage.deliveries import DeliveryRepository
from orchestrator.storage.installation import InstallationRepository
from orchestrator.storage.jobs import JobRepository
from orchestrator.storage.keys import KeyRepository
from orchestrator.storage.values import CachedValues, ValueRepository

if TYPE_CHECKING:
    from orchestrator.bus.over_redis import RedisBus
    from orchestrator.storage.bucket import ValueBucket

# Seconds that a call's start may wait for its end: a short call then costs one transaction instead of two.
_START_DELAY: Final = 0.02


def now() -> datetime:
    """The clock of every part of the process."""
    return datetime.now(UTC)


def new_id() -> str:
    """A new id: sortable by time, and impossible to guess."""
    value: uuid.UUID = uuid6.uuid7()
    return value.hex


@dataclass(frozen=True, slots=True)
class Backend:
    """Everything that the services share, over one client of Temporal."""

    client: Client
    sealer: Sealer
    installation: Installation
    database: Database
    reports: Database  # A second pool: slow sums over many rows must not delay jobs.
    ready_namespace: Callable[[], Awaitable[None]]  # Retention and search attributes. Idempotent.
    gateway: TemporalGateway
    schedules: JobSchedules
    dispatcher: DeliveryDispatcher
    jobs: JobRepository
    attempts: AttemptRepository
    artifacts: ArtifactRepository
    values: CachedValues
    deliveries: DeliveryRepository
    trail: AuditRepository
    keys: KeyRepository
    issued_keys: IssuedKeys
    bus: "MemoryBus | RedisBus"
    look_ups: LookUps
    partials: PartialOutputs
    reader: JobReader
    follower: JobFollower
    conversations: ConversationRecords

    async def aclose(self) -> None:
        """Finish the pending writes, then close the connections."""
        await self.attempts.settle()
        await self.reader.settle()
        await self.dispatcher.settle()
        await self.issued_keys.settle()
        await self.bus.aclose()
        await self.look_ups.aclose()
        await self.database.close()
        await self.reports.close()


def build_backend(settings: Settings, client: Client) -> Backend:
    """Build the backend; connections open at their first use. Raises `Misconfigured` without a secret key."""
    key, database = secret_key_of(settings), _database(settings)
    installation = Installation(InstallationRepository(database), key)
    timeout = timedelta(seconds=settings.job_timeout) if settings.job_timeout else None
    ready = partial(ensure_namespace, client, retention_days=settings.retention_days, attributes=search_attributes())
    gateway = TemporalGateway(
        client,
        settings.task_queue,
        prepare=ready,
        check_namespace=installation.check_namespace,
        job_timeout=timeout,
    )
    deliveries, artifacts, keys = DeliveryRepository(database), ArtifactRepository(database), KeyRepository(database)
    values = CachedValues(_value_store(settings, database))
    codec_of(client).values.store = values
    dispatcher = DeliveryDispatcher(gateway, deliveries, schedule=settings.retry_schedule())
    jobs = JobRepository(database, dispatcher.dispatch, values)
    attempts = AttemptRepository(database, patience=_START_DELAY)
    partials = PartialOutputs(gateway, artifacts, values)
    reasons = ReasonNotes(jobs, clock=now)
    reader = JobReader(gateway, jobs, attempts, partials, JobValues(values), reasons, clock=now)
    follower = JobFollower(gateway, reader)
    return Backend(
        client=client,
        sealer=key.sealer,
        installation=installation,
        database=database,
        reports=_reports(settings),
        ready_namespace=ready,
        gateway=gateway,
        schedules=JobSchedules(client, settings.task_queue, prepare=gateway.namespace_id, job_timeout=timeout),
        dispatcher=dispatcher,
        jobs=jobs,
        attempts=attempts,
        artifacts=artifacts,
        values=values,
        deliveries=deliveries,
        trail=audit_trail(database, key.sealer),
        keys=keys,
        issued_keys=IssuedKeys(keys, key.sealer, clock=now),
        bus=_bus(settings),
        look_ups=LookUps(),
        partials=partials,
        reader=reader,
        follower=follower,
        conversations=ConversationRecords(jobs, artifacts, follower, deliveries, dispatcher, clock=now),
    )


def audit_trail(database: Database, sealer: Sealer) -> AuditRepository:
    """The audit trail of an index. The secret key seals its head."""
    return AuditRepository(database, *sealer.derived_by_each("audit trail"))


def _database(settings: Settings) -> Database:
    return Database(
        settings.index_url(), pool_size=settings.database_pool_size, max_overflow=settings.database_max_overflow
    )


def _reports(settings: Settings) -> Database:
    """A pool for reports: one connection, and as many more as the main pool may open when it is busy."""
    return Database(settings.index_url(), pool_size=1, max_overflow=settings.database_max_overflow)


def redis_url(settings: Settings) -> str | None:
    """The Redis that the processes of an installation share, or None."""
    return settings.redis_url.get_secret_value() if settings.redis_url is not None else None


def open_value_store(url: str) -> "ValueBucket":
    """A bucket for large values. Raises `Misconfigured` for a wrong URL, and without the library for buckets."""
    try:
        from orchestrator.storage.bucket import ValueBucket  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise Misconfigured(
            "ORCHESTRATOR_VALUE_STORE_URL needs the extra `s3`.", remedy="pip install 'orchestrator[s3]'"
        ) from error
    try:
        return ValueBucket(url)
    except ValueError as error:
        raise Misconfigured(f"{error}.", remedy="Use s3://BUCKET/PREFIX, and set AWS_* for region and key.") from error


def _value_store(settings: Settings, database: Database) -> ValueStore:
    return ValueRepository(database) if settings.value_store_url is None else open_value_store(settings.value_store_url)


def _bus(settings: Settings) -> "MemoryBus | RedisBus":
    url = redis_url(settings)
    if url is None:
        return MemoryBus()
    from orchestrator.bus.over_redis import RedisBus, open_redis  # noqa: PLC0415 - slow to import

    return RedisBus(open_redis(url))


def secret_key_of(settings: Settings) -> SecretKey:
    """The secret key of the settings, or of the data directory. Raises `Misconfigured` if it cannot be read or made."""
    fallback = settings.secret_key_fallback.get_secret_value() if settings.secret_key_fallback is not None else None
    if settings.secret_key is not None:
        return SecretKey(Sealer(settings.secret_key.get_secret_value(), fallback), "ORCHESTRATOR_SECRET_KEY")
    file = secret_file(settings.data_dir)
    try:
        return SecretKey(Sealer(read_or_make_secret(settings.data_dir), fallback), f"the file {file}")
    except OSError as error:
        raise Misconfigured(
            f"The secret key cannot be stored in {file} ({error.strerror}).",
            remedy="Set ORCHESTRATOR_SECRET_KEY, or name a directory that this user may write to in "
            "ORCHESTRATOR_DATA_DIR.",
        ) from error
