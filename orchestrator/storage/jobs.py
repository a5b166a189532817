"""Rows of jobs: accepted before the start, listed, and closed with a final snapshot (A4)."""

import builtins
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    bindparam,
    case,
    delete,
    func,
    null,
    select,
    update,
)

from orchestrator.domain.budgets import TokenBudget
from orchestrator.domain.commands import JobInput
from orchestrator.domain.errors import LimitExceeded, Unavailable
from orchestrator.domain.events import parse_cursor
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import OPEN_STATES, AttemptStatus, JobError, JobState, ReasonCode, StartState
from orchestrator.domain.pages import Position
from orchestrator.domain.ports import ValueStore
from orchestrator.domain.values import Stored, references, split
from orchestrator.domain.webhooks import DueDelivery
from orchestrator.storage.database import Database
from orchestrator.storage.deliveries import Outbox
from orchestrator.storage.lists import Filter, job_page
from orchestrator.storage.open_jobs import OpenJobs
from orchestrator.storage.retries import check_not_made_good, retried_by, taken_over
from orchestrator.storage.sessions import check_sessions
from orchestrator.storage.snapshots import final_columns, whole_events, whole_snapshot
from orchestrator.storage.tables import attempts, jobs
from orchestrator.storage.token_use import check_month, reservation
from orchestrator.storage.values import ValueRepository

_INSERT_TRIES: Final = 3
_STORED: Final = "stored"  # Beside the fields of `JobInput`, so that no caller's data is mistaken for it.
_NAMED_JOBS: Final = 5  # How many of the jobs that are in the way a refusal names.
_SLOT_RETRY_AFTER: Final = 5.0


@dataclass(frozen=True, slots=True)
class JobRow:
    """What a list shows of a job."""

    id: str
    kind: JobKind
    definition: str
    name: str
    owner: str
    state: JobState
    progress: int
    webhook_url: str | None
    request_hash: str
    start_state: StartState
    run_id: str | None
    total_calls: int
    created_at: datetime
    started_at: datetime | None
    closed_at: datetime | None
    error: JobError | None
    retry_of: str | None
    reason_code: ReasonCode | None
    reason_message: str | None
    reason_since: datetime | None
    reason_seen: datetime | None


@dataclass(frozen=True, slots=True)
class JobRecord(JobRow):
    """A row with what its job was started with, and the Temporal namespace that has it.

    Large parts of the input are `stored` beside the job.
    """

    job: JobInput
    namespace_id: str | None
    stored: tuple[Stored, ...] = ()


_ROW: Final = tuple(jobs.c[name] for name in JobRow.__dataclass_fields__)
_RECORD: Final = (*_ROW, jobs.c.job_input, jobs.c.namespace_id)
_OPEN: Final = jobs.c.state.in_(sorted(OPEN_STATES))
_UNFINISHED: Final = jobs.c.snapshot.is_(null())

# Statements that every job needs are made once: to make one costs more than to run it.
_THIS: Final = jobs.c.id == bindparam("this_job")
_GET: Final = select(*_RECORD).where(_THIS)
_EXISTS: Final = select(jobs.c.id).where(_THIS)
_SNAPSHOT: Final = select(jobs.c.snapshot, jobs.c.result).where(_THIS)
_EVENTS: Final = select(jobs.c.events, jobs.c.result).where(_THIS)
_NO_REASON: Final = dict.fromkeys(("reason_code", "reason_message", "reason_since", "reason_seen"))
_STARTED: Final = update(jobs).where(_THIS, jobs.c.start_state != StartState.STARTED)
_OUTCOME: Final = update(jobs).where(_THIS, _OPEN)
# What was read of a job before it was reset must not close the row of the job that goes on.
_SINCE: Final = bindparam("since", type_=jobs.c.reopened_at.type)
_FINISH: Final = update(jobs).where(_THIS, _UNFINISHED, jobs.c.reopened_at.is_(None) | (jobs.c.reopened_at <= _SINCE))
_LEAVE_ATTEMPTS: Final = (
    update(attempts)
    .where(attempts.c.job_id == bindparam("this_job"), attempts.c.status == AttemptStatus.RUNNING)
    .values(status=AttemptStatus.UNKNOWN)
)
_OF_OWNER: Final = (jobs.c.owner == bindparam("this_owner"), _OPEN)
_OPEN_COUNT: Final = select(func.count()).select_from(jobs).where(*_OF_OWNER)
_OPEN_OF_OWNER: Final = select(jobs.c.id).where(*_OF_OWNER).limit(_NAMED_JOBS)


class JobRepository(OpenJobs):
    """The jobs of the index. Every method raises `Unavailable` when the database does not answer."""

    def __init__(
        self,
        db: Database,
        dispatch: Callable[[Sequence[DueDelivery]], None] = lambda due: None,
        values: ValueStore | None = None,
    ) -> None:
        """`dispatch` is handed the deliveries that a job's end made due; it must not wait."""
        super().__init__(db)
        self._values = values or ValueRepository(db)
        self._outbox = Outbox(db)
        self._dispatch = dispatch
        self._insert = db.insert(jobs).on_conflict_do_nothing(index_elements=[jobs.c.id]).returning(jobs.c.id)

    async def accept(
        self, job: JobInput, *, request_hash: str, at: datetime, limit: int | None = None, runs: bool = False
    ) -> JobRecord | None:
        """Write the row of a job that is about to be started: None when it is new, else the row that was there.

        With `limit` its owner has at most so many open jobs, however many processes accept at once, and a job with a
        token budget reserves of what is left of it: raises `LimitExceeded` otherwise (D-068), though never for a job
        that was accepted before or `runs` already. The row is the slot and the reservation, so whatever closes or
        drops the row sets both free.
        """
        parts = split(job.job_id, job.model_dump(mode="json"))
        row = {
            "id": job.job_id,
            "kind": job.kind,
            "definition": job.definition,
            "name": job.name,
            "owner": job.owner,
            "state": JobState.PENDING,
            "progress": 0,
            "job_input": {**parts.rest, _STORED: [part.model_dump() for part in parts.stored]},
            "webhook_url": job.webhook_url,
            "subject": job.subject,
            "request_hash": request_hash,
            "start_state": StartState.ACCEPTED,
            "total_calls": len(job.plan.calls()),
            "created_at": at,
            "reserved_tokens": 0,
            **taken_over(job),
        }
        for _ in range(_INSERT_TRIES):
            if await self._write_new(row, limit, job.tokens, runs=runs):
                await self._put(job.job_id, parts.bodies)
                return None
            # The row that is in the way may be dropped before it is read: then the id is free again.
            if (found := await self.get(job.job_id)) is not None:
                return found
        raise Unavailable("The job is being started and dropped at the same time.", job_id=job.job_id)

    async def _put(self, job_id: str, bodies: Mapping[str, str]) -> None:
        """Store the large values of a job that was just accepted; without them it is not."""
        if not bodies:
            return
        try:
            await self._values.put(job_id, bodies)
        except Unavailable:
            await self.drop(job_id)
            raise

    async def started(self, job_id: str, run_id: str, namespace_id: str) -> None:
        """Temporal has the job. A run that is known already stays: a later call tells of an earlier run."""
        values = {
            "this_job": job_id,
            "start_state": StartState.STARTED,
            "run_id": run_id,
            "namespace_id": namespace_id,
        }
        await self._db.autocommit(lambda connection: connection.execute(_STARTED, values).close())

    async def doubtful(self, job_id: str) -> None:
        """The start got no answer: Temporal may or may not have the job."""
        await self._update(job_id, jobs.c.start_state == StartState.ACCEPTED, start_state=StartState.DOUBTFUL)

    async def drop(self, job_id: str) -> bool:
        """Forget a job whose start was refused; False when it is not there, or has been seen to run."""
        never_ran = (jobs.c.start_state != StartState.STARTED) & (jobs.c.state == JobState.PENDING)
        drop = delete(jobs).where(jobs.c.id == job_id, never_ran)
        dropped = await self._db.autocommit(lambda connection: connection.execute(drop).rowcount > 0)
        if dropped:
            await self._values.forget(job_id)
        return dropped

    async def get(self, job_id: str) -> JobRecord | None:
        """The row of a job, or None."""
        this = {"this_job": job_id}
        found = await self._db.autocommit(lambda connection: connection.execute(_GET, this).mappings().first())
        return None if found is None else _record(found)

    async def retried_by(self, *job_ids: str) -> dict[str, builtins.list[str]]:
        """The jobs that were started to finish each of these, oldest first; a job that was not retried is left out."""
        return await self._db.autocommit(lambda connection: retried_by(connection, job_ids))

    async def snapshot(self, job_id: str) -> dict[str, Any] | None:
        """The final snapshot of a closed job, or None: all that is needed to show it without Temporal."""
        this = {"this_job": job_id}
        found = await self._db.autocommit(lambda connection: connection.execute(_SNAPSHOT, this).first())
        if found is None or found.snapshot is None:
            return None
        return whole_snapshot(found.snapshot, found.result)

    async def events(self, job_id: str) -> builtins.list[dict[str, Any]] | None:
        """Every event of a closed job, oldest first, or None when they are not stored."""
        this = {"this_job": job_id}
        found = await self._db.autocommit(lambda connection: connection.execute(_EVENTS, this).first())
        return None if found is None or found.events is None else whole_events(found.events, found.result)

    async def first_run(self, job_id: str) -> str | None:
        """The first run of a closed job, or None if its events are not stored."""
        events = await self.events(job_id)
        position = parse_cursor(str(events[0]["id"])) if events else None
        return position[0] if position else None

    async def close(
        self,
        job_id: str,
        *,
        state: JobState,
        snapshot: dict[str, Any] | None,
        events: builtins.list[dict[str, Any]] | None,
        result: dict[str, Any] | None,
        error: JobError | None,
        run_id: str | None,
        at: datetime,
        since: datetime | None = None,
    ) -> bool:
        """Write how a job ended, and what webhooks have to be told of it; whether that changed its row.

        Terminal is final and the first outcome wins. An outcome without a snapshot is the workflow's own word; the
        first snapshot, which is the closed history's, completes it, and settles it where the two differ. `since` is
        when the course of events began that the snapshot tells: an older one than the row's does not count.
        """
        if not state.terminal:
            raise ValueError(f"a job cannot be closed as {state}")
        values: dict[str, Any] = {
            "this_job": job_id,
            "state": state,
            "start_state": StartState.STARTED,
            "closed_at": at,
            "error": error,
        }
        close = _OUTCOME
        if snapshot is not None:
            close = _FINISH
            values["since"] = since
        values |= _NO_REASON
        if run_id:
            values["run_id"] = run_id
        if snapshot is not None:
            values |= final_columns(snapshot, events, result)
        if state.succeeded:
            values["progress"] = 100
        elif snapshot is not None and (reached := snapshot.get("progress")) is not None:
            close = close.values(progress=case((jobs.c.progress < reached, reached), else_=jobs.c.progress))

        def write(connection: Connection) -> builtins.list[DueDelivery] | None:
            if not connection.execute(close, values).rowcount:
                return None
            connection.execute(_LEAVE_ATTEMPTS, {"this_job": job_id})
            return self._outbox.job_ended(connection, job_id, state, at)

        due = await self._db.transaction(write)
        if due:
            self._dispatch(due)
        return due is not None

    async def set_state(self, job_id: str, state: JobState) -> None:
        """Note that an open job is in another open state; a closed job stays closed."""
        if state.terminal:
            raise ValueError(f"a job gets to {state} through close()")
        await self._update(job_id, _OPEN & (jobs.c.state != state), state=state)

    async def list(
        self,
        *,
        owner: str | None,
        states: Sequence[JobState] | None,
        kind: JobKind | None,
        definition: str | None,
        subject: str | None = None,
        reasons: Sequence[ReasonCode] | None = None,
        attention: bool = False,
        unattended: bool = False,
        since: datetime | None = None,
        until: datetime | None = None,
        after: Position | None = None,
        limit: int,
        offset: int,
    ) -> tuple[builtins.list[JobRow], int]:
        """One page of jobs, newest first, and the exact number of all that match. See `Filter`."""
        chosen = Filter(owner, states, kind, definition, subject, reasons, attention, unattended, since, until)
        page, total = job_page(_ROW, chosen, limit=limit, offset=offset, after=after)

        def read(connection: Connection) -> tuple[builtins.list[JobRow], int]:
            found = connection.execute(page).mappings().all()
            if found:
                return [_row(each) for each in found], found[0]["total"]
            return [], connection.execute(total).scalar_one()

        return await self._db.autocommit(read)

    async def _write_new(
        self, row: dict[str, Any], limit: int | None, budget: TokenBudget | None, *, runs: bool
    ) -> bool:
        """Insert a job's row, if its owner has a slot and tokens for it; False when there is one.

        Raises `LimitExceeded`, and `WrongState` if another job of its line does the work or has done it.
        """
        if limit is None and row["retry_of"] is None and budget is None:
            return (
                await self._db.autocommit(lambda connection: connection.execute(self._insert, row).first()) is not None
            )

        def write(connection: Connection) -> bool:
            if connection.execute(_EXISTS, {"this_job": row["id"]}).first() is not None:
                return False
            if row["retry_of"] is not None:
                check_not_made_good(connection, row)
            owner, at = row["owner"], row["created_at"]
            if budget is not None and not runs:
                check_month(connection, owner, budget, at)
            if limit is not None:
                _check_slot(connection, owner, limit)
                check_sessions(connection, owner, row["subject"], at)
            if budget is not None:
                row["reserved_tokens"] = reservation(connection, owner, budget, at, checked=not runs)
            return connection.execute(self._insert, row).first() is not None

        return await self._db.transaction(write, owner=row["owner"])

    async def _update(self, job_id: str, condition: ColumnElement[bool], **values: Any) -> None:
        change = update(jobs).where(jobs.c.id == job_id, condition).values(**values)
        await self._db.autocommit(lambda connection: connection.execute(change).close())


def _check_slot(connection: Connection, owner: str, limit: int) -> None:
    this = {"this_owner": owner}
    running = connection.execute(_OPEN_COUNT, this).scalar_one()
    if running < limit:
        return
    raise LimitExceeded(
        f"{running} of {limit} concurrent jobs are running. Retry after {_SLOT_RETRY_AFTER:g} seconds.",
        limit="concurrent_jobs",
        retry_after=_SLOT_RETRY_AFTER,
        allowed=limit,
        used=running,
        job_ids=list(connection.execute(_OPEN_OF_OWNER, this).scalars()),
    )


def _row(found: RowMapping) -> JobRow:
    return JobRow(**_columns(found))


def _record(found: RowMapping) -> JobRecord:
    return JobRecord(
        **_columns(found),
        job=JobInput.model_validate(found["job_input"]),
        namespace_id=found["namespace_id"],
        stored=stored_in(found["job_input"]),
    )


def stored_in(job_input: dict[str, Any]) -> tuple[Stored, ...]:
    """Which parts of the column `job_input` are stored beside the job."""
    return references(job_input.get(_STORED, ()))


def _columns(found: RowMapping) -> dict[str, Any]:
    columns = {name: found[name] for name in JobRow.__dataclass_fields__}
    if columns["error"] is not None:
        columns["error"] = JobError.model_validate(columns["error"])
    return columns
