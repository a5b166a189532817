"""Starts jobs: check the request, write the row, start the workflow, in that order (A4, A5)."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from pydantic import BaseModel

from orchestrator.domain.access import Principal, Scope
from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.commands import JobConfig, JobInput
from orchestrator.domain.errors import (
    IdempotencyReuse,
    InvalidInput,
    OrchestratorError,
    PayloadTooLarge,
    Unavailable,
)
from orchestrator.domain.facts import RunStarted
from orchestrator.domain.ids import JobKind, idempotent_job_id
from orchestrator.domain.ids import job_id as new_job_id
from orchestrator.domain.jobs import Job, StartState
from orchestrator.domain.labels import JobLabel
from orchestrator.domain.plans import Plan, Step, Timeouts
from orchestrator.domain.schedules import MAX_DELAY
from orchestrator.engine.gateway import TemporalGateway
from orchestrator.projection.job import project
from orchestrator.services.access.idempotency import check_idempotency_key
from orchestrator.services.access.permissions import permitted
from orchestrator.services.access.quotas import Quotas
from orchestrator.services.background import Background
from orchestrator.services.jobs.models import ModelCheck
from orchestrator.services.jobs.validation import check_whole
from orchestrator.storage.jobs import JobRecord, JobRepository

log = structlog.get_logger(__name__)

AGENT_STEP = "execute"
# One call of a framework makes many calls to models.
_ON_FRAMEWORK = Timeouts(start_to_close=1800, schedule_to_close=7200)


@dataclass(frozen=True, slots=True)
class StartRequest:
    """A request to run an agent or a workflow of the catalogue.

    `name` replaces the name of the agent as the name of a single agent's job. The surface chooses `subject`, `labels`
    and `id_tail`, the end of the new job's id, which must be random and never reused.
    The job starts at `start_at`, or after `delay`; at once without both, and for a time that has passed.
    `model_field` is the field of the surface's request that names the model of `config`.
    `task_queue` is the queue of a framework, for a single agent's call that a framework executes. A `short` call of an
    agent certainly takes less than a second: it is made without its own round trip to Temporal.
    """

    kind: JobKind
    target: str
    input: dict[str, Any]
    config: JobConfig = field(default_factory=JobConfig)
    webhook_url: str | None = None
    idempotency_key: str | None = None
    name: str | None = None
    subject: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    id_tail: str | None = None
    task_queue: str | None = None
    short: bool = False
    model_field: str = "config.model"
    start_at: datetime | None = None
    delay: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """A job that is accepted and durable. `replayed` if an earlier request with the idempotency key started it.

    `new_job` is the input of a job that this request started; None if it was `replayed`.
    """

    job_id: str
    kind: JobKind
    definition: str
    created_at: datetime
    webhook_url: str | None
    replayed: bool
    run_id: str = ""
    new_job: JobInput | None = None

    @property
    def just_now(self) -> bool:
        """Whether this request started the job in Temporal. If not, the job may have ended long ago."""
        return bool(self.run_id)

    def first_view(self) -> Job | None:
        """A new job as the first event of its history shows it. None if it was `replayed`: it may be anywhere."""
        job = self.new_job
        if job is None:
            return None
        first = RunStarted(
            event_id=1,
            run_id=self.run_id,
            time=self.created_at,
            workflow_type=job.definition,
            task_queue="",
            job=job,
            continued=False,
            starts_at=job.starts_at,
        )
        return project(job.job_id, [first])


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class JobStarter:
    """Starts jobs, each exactly once."""

    catalogue: Catalogue
    gateway: TemporalGateway
    jobs: JobRepository
    quotas: Quotas
    models: ModelCheck
    _: KW_ONLY
    check_url: Callable[[str, str], Awaitable[object]]
    clock: Callable[[], datetime]
    new_id: Callable[[], str]
    max_input_bytes: int
    writes: Background = field(default_factory=Background, init=False)

    async def start(self, principal: Principal, request: StartRequest) -> Started:
        """Start a job. Starts nothing unless the whole request is valid.

        Raises `NotFound`, `InvalidInput`, `PayloadTooLarge`, `ModelNotConfigured`, `IdempotencyReuse`, `LimitExceeded`,
        `Unavailable`, and `Forbidden` for options that the caller's tier does not include, and for a callback without
        `jobs:read`.
        """
        job_id = self.job_id(principal, request.kind, request.idempotency_key, request.id_tail)
        job = await self.composed(request, owner=principal.id, job_id=job_id)
        job = self.permitted(principal, job)  # before the look-up of a host name
        self.models.check(job, field=request.model_field)
        await self.check_callback(principal, request.webhook_url)
        return await self.begin(principal, job, _digest(request))

    async def begin(self, principal: Principal, job: JobInput, digest: str) -> Started:
        """Start a valid job. `digest` identifies the request: another one with the same idempotency key is refused.

        Raises as `start` does, and `WrongState` for a retry of a job that another retry has completed or is running.
        """
        at = self.clock()
        job = self.permitted(principal, job)
        job = self.quotas.within_budget(principal, job)
        await self._refuse_while_away(job.job_id)
        existing = await self._accept(principal, job, digest, at)
        if existing is not None:
            _same_request(existing, digest)
            if existing.start_state is StartState.STARTED:
                return _replayed(existing)
        try:
            run_id = await self.gateway.start(job)
        except (Unavailable, asyncio.CancelledError):
            # Temporal may or may not have the job: the reconciler checks, and drops the row if it does not.
            await self.jobs.doubtful(job.job_id)
            raise
        except OrchestratorError:
            await self.jobs.drop(job.job_id)
            raise
        self.writes.start(self._note_start(job.job_id, run_id), f"start of {job.job_id}")
        if existing is not None:
            return _replayed(existing, run_id)
        return Started(
            job.job_id, job.kind, job.definition, at, job.webhook_url, replayed=False, run_id=run_id, new_job=job
        )

    def permitted(self, principal: Principal, job: JobInput) -> JobInput:
        """The job with the priority that the caller's tier permits. Raises `Forbidden` for what it does not include."""
        return permitted(job, principal, self.quotas.limits(principal))

    async def _note_start(self, job_id: str, run_id: str) -> None:
        """Record that Temporal has the job. Without this note, the reconciler asks Temporal for it."""
        try:
            await self.jobs.started(job_id, run_id, await self.gateway.namespace_id())
        except Unavailable as error:
            log.warning("start_not_noted", job_id=job_id, error=error.message)

    async def _refuse_while_away(self, job_id: str) -> None:
        """Raise `Unavailable` while Temporal is away, before a row is written. A job that has a row is not refused."""
        if self.gateway.away and await self.jobs.get(job_id) is None:
            raise Unavailable("Temporal does not answer; nothing was started", job_id=job_id)

    async def check_callback(self, principal: Principal, url: str | None) -> None:
        """Check the callback of a job.

        Raises `Forbidden` for a caller who may not read the job's output, which the callback contains; `InvalidInput`
        for a URL to which nothing may be sent.
        """
        if url is None:
            return
        principal.require(Scope.JOBS_READ)
        try:
            await self.check_url(url, principal.id)
        except InvalidInput as error:
            raise InvalidInput(error.message, **{**error.details, "field": "webhook_url"}) from error

    async def _accept(self, principal: Principal, job: JobInput, digest: str, at: datetime) -> JobRecord | None:
        """Write the row of a job within the caller's limits. Returns the row of an earlier request, if there is one."""
        limit = self.quotas.limits(principal).concurrent_jobs
        return await self.jobs.accept(job, request_hash=digest, at=at, limit=limit)

    async def composed(self, request: StartRequest, *, owner: str, job_id: str) -> JobInput:
        """The job of a valid request, with the present plan of the catalogue.

        Raises `NotFound`, `InvalidInput`, `PayloadTooLarge`.
        """
        name, schema, model, plan, code = self._target(request)
        size = _size(request.input)
        if size > self.max_input_bytes:
            raise PayloadTooLarge(
                f"The input is {size} bytes as JSON, more than {self.max_input_bytes}",
                field="input",
                expected=f"at most {self.max_input_bytes} bytes as JSON",
            )
        await check_whole(schema, model, request.input)
        return JobInput(
            job_id=job_id,
            kind=request.kind,
            definition=request.target,
            name=name,
            owner=owner,
            input=request.input,
            config=request.config,
            plan=plan,
            webhook_url=request.webhook_url,
            subject=request.subject,
            labels=request.labels,
            code=code,
            starts_at=self._starts_at(request),
            reports_end=True,
        )

    def _starts_at(self, request: StartRequest) -> datetime | None:
        """When the job starts, or None for now. Raises `InvalidInput`."""
        if request.start_at is None and request.delay is None:
            return None
        field = "delay" if request.start_at is None else "start_at"
        now = self.clock()
        starts_at = request.start_at or now + (request.delay or timedelta())
        if starts_at > now + MAX_DELAY:
            expected = f"at most {MAX_DELAY.days} days from now; use a schedule for later runs"
            raise InvalidInput(f"invalid {field}: it is too far away", field=field, expected=expected)
        return starts_at if starts_at > now else None

    def _target(self, request: StartRequest) -> tuple[str, dict[str, Any], type[BaseModel] | None, Plan, bool]:
        if request.kind is JobKind.AGENT:
            agent = self.catalogue.agent(request.target)
            name = request.name or agent.name
            step = Step(
                id=AGENT_STEP,
                name=name,
                squad=agent.squad,
                agents=(agent.id,),
                task_queue=request.task_queue,
                timeouts=Timeouts() if request.task_queue is None else _ON_FRAMEWORK,
                short=request.short,
            )
            return name, agent.input_schema(), agent.input_model, Plan(steps=(step,)), False
        definition = self.catalogue.workflow(request.target)
        return (
            definition.name,
            definition.input_schema,
            definition.input_model,
            definition.plan,
            definition.code,
        )

    def job_id(self, principal: Principal, kind: JobKind, key: str | None, tail: str | None = None) -> str:
        """The job id of an idempotency key, or a new id without a key. Raises `InvalidInput` for an invalid key."""
        if key is None:
            return new_job_id(kind, tail or self.new_id())
        check_idempotency_key(key)
        return idempotent_job_id(kind, principal.id, key)


def _size(data: dict[str, Any]) -> int:
    """Bytes of the input as JSON. Raises `InvalidInput` for values that JSON does not have."""
    try:
        return len(json.dumps(data, ensure_ascii=False, allow_nan=False).encode())
    except ValueError as error:
        raise InvalidInput(
            "The input contains a number or a text that JSON does not have", field="input", expected="plain JSON"
        ) from error


def _digest(request: StartRequest) -> str:
    body = {
        "kind": request.kind,
        "target": request.target,
        "input": request.input,
        "config": request.config.model_dump(mode="json"),
        "webhook_url": request.webhook_url,
        # A surface's labels do not tell requests apart; digests of earlier releases have none.
        **({"start_at": request.start_at.isoformat()} if request.start_at else {}),
        **({"delay": request.delay.total_seconds()} if request.delay else {}),
        **({"labels": labels} if (labels := _own_labels(request)) else {}),
    }
    return hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _own_labels(request: StartRequest) -> dict[str, str]:
    return {name: value for name, value in request.labels.items() if name not in set(JobLabel)}


def _same_request(existing: JobRecord, digest: str) -> None:
    if existing.request_hash != digest:
        raise IdempotencyReuse(
            "This Idempotency-Key was used before with another request",
            field="Idempotency-Key",
            expected="the same request, or a new key",
            job_id=existing.id,
        )


def _replayed(row: JobRecord, run_id: str = "") -> Started:
    job = row.job
    return Started(job.job_id, job.kind, job.definition, row.created_at, job.webhook_url, replayed=True, run_id=run_id)
