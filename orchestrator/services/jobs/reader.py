"""Reads jobs: an open job from its history, a closed job from its snapshot, and each from the other if one is gone."""

import asyncio
import builtins
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from typing import Any, Final

import structlog

from orchestrator.domain.access import Principal
from orchestrator.domain.errors import Forbidden, NotFound, Unavailable
from orchestrator.domain.events import JobEvent
from orchestrator.domain.facts import NOTHING_PENDING, Fact, Pending, RunStarted
from orchestrator.domain.ids import JobKind, kind_of
from orchestrator.domain.jobs import AgentCall, Attempt, Job, JobState, Reason, ReasonCode, StartState
from orchestrator.domain.pages import Position
from orchestrator.domain.plans import Plan
from orchestrator.engine.gateway import TemporalGateway
from orchestrator.projection.attempts import unwritten, with_attempts
from orchestrator.projection.events import end_event, job_events
from orchestrator.projection.job import job_input, project
from orchestrator.projection.tool_calls import open_at_end
from orchestrator.services.background import Background
from orchestrator.services.jobs.partial_output import PartialOutputs
from orchestrator.services.jobs.reasons import NotedReason, ReasonNotes, reason_of
from orchestrator.services.jobs.values import JobValues
from orchestrator.storage.attempts import AttemptRepository
from orchestrator.storage.jobs import JobRecord, JobRepository, JobRow
from orchestrator.storage.lists import Filter

log = structlog.get_logger(__name__)

UNKNOWN_HERE: Final = Reason(
    code=ReasonCode.STUCK,
    message="This Temporal server does not know the job. Is it the server and namespace that started it?",
)
_POLLERS_TIMEOUT_SECONDS: Final = 1.0  # Seconds that a list waits for the answer whether a worker polls.


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Selects jobs for a list (D-045). Empty fields do not filter."""

    owner: str | None = None
    states: Sequence[JobState] | None = None
    kind: JobKind | None = None
    definition: str | None = None
    subject: str | None = None
    reasons: Sequence[ReasonCode] | None = None
    attention: bool = False
    since: datetime | None = None
    until: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    id_start: str | None = None
    id_part: str | None = None
    after: Position | None = None
    limit: int = 20
    offset: int = 0


@dataclass(frozen=True, slots=True)
class JobPage:
    """One page of jobs, newest first, and the total. `unattended` is whether no worker polls.

    `retried_by` maps a failed job to the jobs that retry it.
    """

    rows: list[JobRow]
    total: int
    unattended: bool = False
    retried_by: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def reason(self, row: JobRow) -> NotedReason | None:
        """The known reason for the state of an open job."""
        return reason_of(row, unattended=self.unattended)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class JobReader:
    """Reads jobs. Needs Temporal alone or, for closed jobs, the index alone: no worker has to run."""

    gateway: TemporalGateway
    jobs: JobRepository
    attempts: AttemptRepository
    partials: PartialOutputs
    values: JobValues
    reasons: ReasonNotes
    _: KW_ONLY
    clock: Callable[[], datetime]
    writes: Background = field(default_factory=Background, init=False)

    async def get(self, principal: Principal, job_id: str) -> Job:
        """The present state of a job. Raises `NotFound`, also for another owner's job; `Unavailable`."""
        return await self.values.shown(self.visible(principal, await self._present(job_id)))

    async def get_asked(self, principal: Principal, job_id: str) -> Job:
        """The present state of a job, also for those whom one of its questions names. Raises as `get` does."""
        job = await self._present(job_id)
        if not any(each.by and each.admits(principal, job.owner) for each in job.questions):
            self.visible(principal, job)
        return await self.values.shown(job)

    async def plan(self, principal: Principal, job: Job) -> Plan | None:
        """The plan that the job was started with. None if the index does not have it. Raises `NotFound`."""
        record = await self.jobs.get(self.visible(principal, job).id)
        return None if record is None else record.job.plan

    async def closed(self, principal: Principal, job_id: str) -> Job | None:
        """A job that has ended according to the index, or None. Raises `NotFound` for another owner's job."""
        job = await self._snapshot(job_id)
        return None if job is None else await self.values.shown(self.visible(principal, job))

    async def ended(self, principal: Principal, job_id: str, facts: Sequence[Fact]) -> Job:
        """The ended job of these facts. Its snapshot is written in the background. Raises `NotFound`, `Unavailable`."""
        if open_at_end(facts):
            return await self.get(principal, job_id)
        job = await self._completed(project(job_id, facts), facts, NOTHING_PENDING, wait=False)
        return await self.values.shown(self.visible(principal, job))

    def visible(self, principal: Principal, job: Job) -> Job:
        """The job, for its owner or an admin. Raises `NotFound` for others."""
        if not principal.can_see(job.owner):
            raise NotFound(f"Unknown job: {job.id}", job_id=job.id)
        return job

    async def list(self, principal: Principal, filter: JobFilter) -> JobPage:
        """One page of the caller's jobs. An admin lists the jobs of everybody, or of one owner.

        Raises `Unavailable`, and `Forbidden` for another owner's jobs.
        """
        if filter.owner is not None and not principal.can_see(filter.owner):
            raise Forbidden("Only an admin lists the jobs of others", owner=filter.owner)
        by_reason = filter.reasons is not None or filter.attention
        unattended = await self._is_unattended() if by_reason else False
        rows, total = await self.jobs.list(
            owner=filter.owner if principal.admin else principal.id,
            states=filter.states,
            kind=filter.kind,
            definition=filter.definition,
            subject=filter.subject,
            reasons=filter.reasons,
            attention=filter.attention,
            unattended=unattended,
            since=filter.since,
            until=filter.until,
            labels=filter.labels,
            id_start=filter.id_start,
            id_part=filter.id_part,
            after=filter.after,
            limit=filter.limit,
            offset=filter.offset,
        )
        if not by_reason and any(row.state.open for row in rows):
            unattended = await self._is_unattended()
        retryable_ids = [row.id for row in rows if row.state.retryable]
        return JobPage(rows, total, unattended, await self.jobs.retried_by(*retryable_ids) if retryable_ids else {})

    async def row_filter(self, principal: Principal, filter: JobFilter) -> Filter:
        """The filter of the rows that a list of the caller shows."""
        by_reason = filter.reasons is not None or filter.attention
        return Filter(
            owner=filter.owner if principal.admin else principal.id,
            states=filter.states,
            kind=filter.kind,
            definition=filter.definition,
            subject=filter.subject,
            reasons=filter.reasons,
            attention=filter.attention,
            unattended=await self._is_unattended() if by_reason else False,
            since=filter.since,
            until=filter.until,
            labels=filter.labels,
            id_start=filter.id_start,
            id_part=filter.id_part,
        )

    async def _is_unattended(self) -> bool:
        """Whether no worker polls for jobs. False if Temporal does not answer."""
        try:
            async with asyncio.timeout(_POLLERS_TIMEOUT_SECONDS):
                return await self.gateway.has_workers() is False
        except (Unavailable, TimeoutError):
            return False

    async def events(self, job_id: str) -> builtins.list[JobEvent]:
        """Every event so far, oldest first. Events of a closed job need no Temporal. Raises `NotFound`, `Unavailable`.

        If neither the index nor Temporal has the events of a closed job, the list is its last event alone.
        """
        try:
            stored = await self.jobs.events(job_id)
        except Unavailable:
            stored = None
        if stored:
            return await asyncio.to_thread(_events, stored)  # Thousands of them take a while.
        try:
            return await self.gateway.events(job_id)
        except NotFound:
            job = await self._snapshot(job_id)
            if job is None and await self.jobs.get(job_id) is None:
                raise
            return [] if job is None else [end_event(job)]

    async def close(self, job: Job, facts: Sequence[Fact], missing: Sequence[tuple[AgentCall, Attempt]] = ()) -> bool:
        """Write the final snapshot and events of a job to the index, as folded from its closed history.

        First it writes the `missing` attempts and the partial output: if that fails, the job stays open in the index
        and is closed later.
        """
        if missing:
            await self.attempts.repair(job, missing)
        start = job_input(job.id, facts)
        if start is not None:
            await self.partials.store(job, start)
        return await self.jobs.close(
            job.id,
            state=job.state,
            snapshot=job.model_dump(mode="json"),
            events=[event.model_dump(mode="json") for event in job_events(job.id, facts)],
            result=job.result,
            error=job.error,
            run_id=job.run_id,
            at=job.closed_at or self.clock(),
            since=job.began_at,
        )

    async def settle(self) -> None:
        """Wait until all snapshots are written. Call it before the connections are closed."""
        await self.writes.settle()

    async def _present(self, job_id: str) -> Job:
        return await self._snapshot(job_id) or await self._read_history(job_id)

    async def _snapshot(self, job_id: str) -> Job | None:
        try:
            stored = await self.jobs.snapshot(job_id)
        except Unavailable:
            log.warning("index_not_read", job_id=job_id)
            return None
        return Job.model_validate(stored) if stored is not None else None

    async def _read_history(self, job_id: str) -> Job:
        try:
            job, facts, pending = await self.gateway.job(job_id)
        except NotFound:
            row = await self.jobs.get(job_id)
            if row is None:
                raise
            return accepted(row)
        return await self._completed(job, facts, pending, wait=True)

    async def _completed(self, projected: Job, facts: Sequence[Fact], pending: Pending, *, wait: bool) -> Job:
        """The job with its attempts. Raises `NotFound` for an execution that is no job."""
        job_id = projected.id
        if kind_of(job_id) is None and not any(self.gateway.is_job(f) for f in facts if isinstance(f, RunStarted)):
            raise NotFound(f"Unknown job: {job_id}", job_id=job_id)
        try:
            rows = await self.attempts.for_job(job_id)
        except Unavailable:
            log.warning("index_not_repaired", job_id=job_id)
            return projected
        job = with_attempts(projected, rows)
        if self.reasons.due(job, pending):
            self.writes.start(self._write_reason(job), f"reason of {job_id}")
        if job.state.terminal:
            snapshot = self.writes.start(
                self._write_snapshot(job, facts, unwritten(projected, rows)), f"snapshot of {job_id}"
            )
            if wait:
                await asyncio.shield(snapshot)
        return job

    async def _write_reason(self, job: Job) -> None:
        try:
            await self.reasons.note(job)
        except Unavailable:
            log.warning("reason_not_noted", job_id=job.id)

    async def _write_snapshot(
        self, job: Job, facts: Sequence[Fact], missing: Sequence[tuple[AgentCall, Attempt]]
    ) -> None:
        try:
            await self.close(job, facts, missing)
        except Unavailable:
            log.warning("index_not_repaired", job_id=job.id)


def _events(stored: Sequence[dict[str, Any]]) -> builtins.list[JobEvent]:
    return [JobEvent.model_validate(event) for event in stored]


def accepted(row: JobRecord) -> Job:
    """A job of the index that this Temporal does not know: it is about to start, or it is in another Temporal."""
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
