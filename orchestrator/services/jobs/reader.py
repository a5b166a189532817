"""Reading jobs: an open one from its history, a closed one from its snapshot, either when the other is gone."""

import asyncio
import builtins
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import structlog

from orchestrator.domain.access import Principal
from orchestrator.domain.errors import Forbidden, NotFound, Unavailable
from orchestrator.domain.events import JobEvent
from orchestrator.domain.facts import NOTHING_PENDING, Fact, Pending, RunStarted
from orchestrator.domain.ids import JobKind, kind_of
from orchestrator.domain.jobs import AgentCall, Attempt, Job, JobState, Reason, ReasonCode, StartState
from orchestrator.domain.pages import Position
from orchestrator.domain.ports import ValueStore
from orchestrator.engine.gateway import TemporalGateway
from orchestrator.projection.attempts import unwritten, with_attempts
from orchestrator.projection.events import end_event, job_events
from orchestrator.projection.job import job_input, project
from orchestrator.services.background import Background
from orchestrator.services.jobs.partial_output import PartialOutputs
from orchestrator.services.jobs.reasons import NotedReason, ReasonNotes, seen
from orchestrator.services.jobs.values import JobValues
from orchestrator.storage.attempts import AttemptRepository
from orchestrator.storage.jobs import JobRecord, JobRepository, JobRow

log = structlog.get_logger(__name__)

UNKNOWN_HERE: Final = Reason(
    code=ReasonCode.STUCK,
    message="This Temporal server does not know the job. Is it the server and namespace that started it?",
)
_POLLERS_PATIENCE: Final = 1.0  # Seconds that a list waits to learn whether a worker is there.


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs a list shows (D-045). Empty fields do not filter."""

    owner: str | None = None
    states: Sequence[JobState] | None = None
    kind: JobKind | None = None
    definition: str | None = None
    subject: str | None = None
    reasons: Sequence[ReasonCode] | None = None
    attention: bool = False
    since: datetime | None = None
    until: datetime | None = None
    after: Position | None = None
    limit: int = 20
    offset: int = 0


@dataclass(frozen=True, slots=True)
class JobPage:
    """One page of jobs, newest first, and how many there are in all. `unattended` while no worker is there.

    `retried_by` names the jobs that were started to finish those which failed.
    """

    rows: list[JobRow]
    total: int
    unattended: bool = False
    retried_by: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def reason(self, row: JobRow) -> NotedReason | None:
        """Why an open job is where it is, as far as that is known."""
        return seen(row, unattended=self.unattended)


class JobReader:
    """Tells where a job is. Nothing has to be running but Temporal or, for closed jobs, the index."""

    def __init__(
        self,
        gateway: TemporalGateway,
        jobs: JobRepository,
        attempts: AttemptRepository,
        partials: PartialOutputs,
        *,
        values: ValueStore,
        clock: Callable[[], datetime],
    ) -> None:
        self._gateway = gateway
        self._jobs = jobs
        self._attempts = attempts
        self._partials = partials
        self._values = JobValues(values)
        self._clock = clock
        self._writing = Background()
        self._reasons = ReasonNotes(jobs, clock=clock)

    async def get(self, principal: Principal, job_id: str) -> Job:
        """The job as it stands now. Raises `NotFound` (also for another owner's), `Unavailable`."""
        job = await self._snapshot(job_id)
        if job is None:
            job = await self._from_history(job_id)
        return await self._values.shown(self.visible(principal, job))

    async def closed(self, principal: Principal, job_id: str) -> Job | None:
        """A job that the index knows as ended, or None. Raises `NotFound` for another owner's."""
        job = await self._snapshot(job_id)
        return None if job is None else await self._values.shown(self.visible(principal, job))

    async def ended(self, principal: Principal, job_id: str, facts: Sequence[Fact]) -> Job:
        """The job that `facts` end. Its snapshot is written after the answer. Raises `NotFound`."""
        job = await self._told(job_id, facts, NOTHING_PENDING, wait=False)
        return await self._values.shown(self.visible(principal, job))

    def visible(self, principal: Principal, job: Job) -> Job:
        """The job, if its owner or an admin asks. Raises `NotFound`."""
        if not principal.sees(job.owner):
            raise NotFound(f"Unknown job: {job.id}", job_id=job.id)
        return job

    async def list(self, principal: Principal, wanted: JobFilter) -> JobPage:
        """One page of the caller's jobs, or of everybody's or one owner's for an admin.

        Raises `Unavailable`, and `Forbidden` for another owner's.
        """
        if wanted.owner is not None and not principal.sees(wanted.owner):
            raise Forbidden("Only an admin lists the jobs of others", owner=wanted.owner)
        by_reason = wanted.reasons is not None or wanted.attention
        unattended = await self._unattended() if by_reason else False
        rows, total = await self._jobs.list(
            owner=wanted.owner if principal.admin else principal.id,
            states=wanted.states,
            kind=wanted.kind,
            definition=wanted.definition,
            subject=wanted.subject,
            reasons=wanted.reasons,
            attention=wanted.attention,
            unattended=unattended,
            since=wanted.since,
            until=wanted.until,
            after=wanted.after,
            limit=wanted.limit,
            offset=wanted.offset,
        )
        if not by_reason and any(row.state.open for row in rows):
            unattended = await self._unattended()
        undone = [row.id for row in rows if row.state.retryable]
        return JobPage(rows, total, unattended, await self._jobs.retried_by(*undone) if undone else {})

    async def _unattended(self) -> bool:
        """Whether no worker is there for jobs; False while Temporal does not say."""
        try:
            async with asyncio.timeout(_POLLERS_PATIENCE):
                return await self._gateway.attended() is False
        except (Unavailable, TimeoutError):
            return False

    async def events(self, job_id: str) -> builtins.list[JobEvent]:
        """Every event so far, oldest first; a closed job's need no Temporal. Raises `NotFound`, `Unavailable`.

        Of a closed job whose events neither the index nor Temporal keeps, the last one is left.
        """
        try:
            stored = await self._jobs.events(job_id)
        except Unavailable:
            stored = None
        if stored:
            return [JobEvent.model_validate(event) for event in stored]
        try:
            facts, _ = await self._gateway.read(job_id)
        except NotFound:
            job = await self._snapshot(job_id)
            if job is None and await self._jobs.get(job_id) is None:
                raise
            return [] if job is None else [end_event(job)]
        return job_events(job_id, facts)

    async def close(self, job: Job, facts: Sequence[Fact], missing: Sequence[tuple[AgentCall, Attempt]] = ()) -> bool:
        """Write a job's final snapshot and events to the index; the fold of its closed history is the truth.

        The attempts that the index is `missing` come first, and what is left of a job without a result: while that
        fails, the job counts as not closed yet.
        """
        if missing:
            await self._attempts.repair(job, missing)
        given = job_input(job.id, facts)
        if given is not None:
            await self._partials.keep(job, given)
        return await self._jobs.close(
            job.id,
            state=job.state,
            snapshot=job.model_dump(mode="json"),
            events=[event.model_dump(mode="json") for event in job_events(job.id, facts)],
            result=job.result,
            error=job.error,
            run_id=job.run_id,
            at=job.closed_at or self._clock(),
            since=job.began_at,
        )

    async def settle(self) -> None:
        """Wait until every snapshot under way is written. Before the connections are closed."""
        await self._writing.settle()

    async def _snapshot(self, job_id: str) -> Job | None:
        try:
            stored = await self._jobs.snapshot(job_id)
        except Unavailable:
            log.warning("index_not_read", job_id=job_id)
            return None
        return Job.model_validate(stored) if stored is not None else None

    async def _from_history(self, job_id: str) -> Job:
        try:
            facts, pending = await self._gateway.read(job_id)
        except NotFound:
            row = await self._jobs.get(job_id)
            if row is None:
                raise
            return accepted(row)
        return await self._told(job_id, facts, pending, wait=True)

    async def _told(self, job_id: str, facts: Sequence[Fact], pending: Pending, *, wait: bool) -> Job:
        if kind_of(job_id) is None and not any(self._gateway.ours(f) for f in facts if isinstance(f, RunStarted)):
            raise NotFound(f"Unknown job: {job_id}", job_id=job_id)
        told = project(job_id, facts, pending)
        try:
            rows = await self._attempts.for_job(job_id)
        except Unavailable:
            log.warning("index_not_repaired", job_id=job_id)
            return told
        job = with_attempts(told, rows)
        if self._reasons.due(job, pending):
            self._writing.start(self._noted(job), f"reason of {job_id}")
        if job.state.terminal:
            writing = self._writing.start(self._closed(job, facts, unwritten(told, rows)), f"snapshot of {job_id}")
            if wait:
                await asyncio.shield(writing)
        return job

    async def _noted(self, job: Job) -> None:
        try:
            await self._reasons.note(job)
        except Unavailable:
            log.warning("reason_not_noted", job_id=job.id)

    async def _closed(self, job: Job, facts: Sequence[Fact], missing: Sequence[tuple[AgentCall, Attempt]]) -> None:
        try:
            await self.close(job, facts, missing)
        except Unavailable:
            log.warning("index_not_repaired", job_id=job.id)


def accepted(row: JobRecord) -> Job:
    """A job that the index holds and this Temporal does not know: about to be started, or another Temporal's."""
    reason = Reason(code=ReasonCode.QUEUED, message="Accepted; about to be handed to Temporal.")
    if row.start_state is StartState.STARTED:
        reason = UNKNOWN_HERE
    return row.job.job(
        state=row.state,
        progress=row.progress,
        created_at=row.created_at,
        reason=reason,
        stored=[part for part in row.stored if part.at[:1] == ("input",)],
        started_at=row.started_at,
    )
