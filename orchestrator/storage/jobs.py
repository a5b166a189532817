"""Rows of jobs: written before the start, listed, and closed with a final snapshot."""

import builtins
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, RowMapping, bindparam, case, delete, null, select, update

from orchestrator.domain.budgets import TokenBudget
from orchestrator.domain.commands import JobInput
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.events import parse_cursor
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import OPEN_STATES, AttemptStatus, JobError, JobState, ReasonCode, StartState
from orchestrator.domain.pages import Position
from orchestrator.domain.ports import ValueStore
from orchestrator.domain.values import Stored, references, split
from orchestrator.domain.webhooks import DueDelivery
from orchestrator.storage.concurrency import check_slot
from orchestrator.storage.costs import COST
from orchestrator.storage.database import Database
from orchestrator.storage.deliveries import Outbox
from orchestrator.storage.labels import add_labels, delete_labels, packed, unpacked
from orchestrator.storage.lists import Filter, job_page
from orchestrator.storage.open_jobs import OpenJobs
from orchestrator.storage.retries import RetriedJobs, check_not_retried, retry_columns
from orchestrator.storage.sessions import check_sessions
from orchestrator.storage.snapshots import final_columns, whole_events, whole_snapshot
from orchestrator.storage.tables import attempts, jobs
from orchestrator.storage.token_use import check_month, reservation
from orchestrator.storage.values import ValueRepository

_INSERT_TRIES: Final = 3
_STORED: Final = "stored"  # Next to the fields of `JobInput`, so that no caller's data is mistaken for it.


@dataclass(frozen=True, slots=True)
class JobRow:
    """The columns of a job that lists show."""

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
    labels: Mapping[str, str]
    cost: float | None

    @property
    def exact(self) -> bool:
        """Whether `progress` is the share of all calls: the calls of some plans are known only once they decide."""
        return self.total_calls > 0 or self.state.terminal


@dataclass(frozen=True, slots=True)
class JobRecord(JobRow):
    """A row with the input of its job and the Temporal namespace that runs it.

    `stored` names the large parts of the input, which are stored beside the job.
    """

    job: JobInput
    namespace_id: str | None
    stored: tuple[Stored, ...] = ()


ROW: Final = tuple(jobs.c[name] for name in JobRow.__dataclass_fields__)
_RECORD: Final = (*ROW, jobs.c.job_input, jobs.c.namespace_id)
_OPEN: Final = jobs.c.state.in_(sorted(OPEN_STATES))
_UNFINISHED: Final = jobs.c.snapshot.is_(null())

# Statements that every job needs are built once: building one costs more than running it.
_THIS: Final = jobs.c.id == bindparam("this_job")
_GET: Final = select(*_RECORD).where(_THIS)
_EXISTS: Final = select(jobs.c.id).where(_THIS)
_SNAPSHOT: Final = select(jobs.c.snapshot, jobs.c.result).where(_THIS)
_EVENTS: Final = select(jobs.c.events, jobs.c.result).where(_THIS)
_NO_REASON: Final = dict.fromkeys(("reason_code", "reason_message", "reason_since", "reason_seen", "reason_people"))
_STARTED: Final = update(jobs).where(_THIS, jobs.c.start_state != StartState.STARTED)
_OUTCOME: Final = update(jobs).where(_THIS, _OPEN).values(cost=COST)
# A snapshot that was read before a reset must not close the row of the job that continues.
_SINCE: Final = bindparam("since", type_=jobs.c.reopened_at.type)
_BEGAN_BEFORE: Final = jobs.c.reopened_at.is_(None) | (jobs.c.reopened_at <= _SINCE)
_FINISH: Final = update(jobs).where(_THIS, _UNFINISHED, _BEGAN_BEFORE).values(cost=COST)
_END_ATTEMPTS: Final = (
    update(attempts)
    .where(attempts.c.job_id == bindparam("this_job"), attempts.c.status == AttemptStatus.RUNNING)
    .values(status=AttemptStatus.UNKNOWN)
)


class JobRepository(OpenJobs, RetriedJobs):
    """The jobs of the index. Every method raises `Unavailable` if the database does not answer."""

    def __init__(
        self,
        db: Database,
        dispatch: Callable[[Sequence[DueDelivery]], None] = lambda due: None,
        values: ValueStore | None = None,
    ) -> None:
        """`dispatch` receives the new deliveries after a job has ended; it must not block."""
        super().__init__(db)
        self._values = values or ValueRepository(db)
        self._outbox = Outbox(db)
        self._dispatch = dispatch
        self._insert = db.insert(jobs).on_conflict_do_nothing(index_elements=[jobs.c.id]).returning(jobs.c.id)

    async def accept(
        self, job: JobInput, *, request_hash: str, at: datetime, limit: int | None = None, runs: bool = False
    ) -> JobRecord | None:
        """Write the row of a job before its start. Returns None for a new job, else the existing row.

        With `limit`, the owner has at most that many open jobs, across all processes. A job with a token budget
        reserves tokens from its owner's month. Raises `LimitExceeded` if there is no slot or no token left (D-068),
        but never for a job that was accepted before or `runs` already. The row is the slot and the reservation:
        closing or dropping it frees both.
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
            "total_calls": job.plan.known_calls,
            "created_at": at,
            "reserved_tokens": 0,
            "labels": packed(job.labels),
            **retry_columns(job),
        }
        for _ in range(_INSERT_TRIES):
            if await self._write_new(row, limit, job.tokens, runs=runs):
                await self._put(job.job_id, parts.bodies)
                return None
            # The existing row may be dropped before it is read: then the id is free again.
            if (existing := await self.get(job.job_id)) is not None:
                return existing
        raise Unavailable("The job is started and dropped at the same time. Try again.", job_id=job.job_id)

    async def _put(self, job_id: str, bodies: Mapping[str, str]) -> None:
        """Store the large values of a job that was just accepted. If that fails, drop the job."""
        if not bodies:
            return
        try:
            await self._values.put(job_id, bodies)
        except Unavailable:
            await self.drop(job_id)
            raise

    async def started(self, job_id: str, run_id: str, namespace_id: str) -> None:
        """Record that Temporal has the job. The first call wins: a later one may report an earlier run."""
        values = {
            "this_job": job_id,
            "start_state": StartState.STARTED,
            "run_id": run_id,
            "namespace_id": namespace_id,
        }
        await self._db.autocommit(lambda connection: connection.execute(_STARTED, values).close())

    async def doubtful(self, job_id: str) -> None:
        """Record that the start got no answer: Temporal may or may not have the job."""
        await self._update(job_id, jobs.c.start_state == StartState.ACCEPTED, start_state=StartState.DOUBTFUL)

    async def drop(self, job_id: str) -> bool:
        """Delete a job whose start was refused. False if there is none, or if it ran."""
        never_ran = (jobs.c.start_state != StartState.STARTED) & (jobs.c.state == JobState.PENDING)
        drop = delete(jobs).where(jobs.c.id == job_id, never_ran)

        def write(connection: Connection) -> bool:
            deleted = connection.execute(drop).rowcount > 0
            delete_labels(connection, [job_id] if deleted else [])
            return deleted

        dropped = await self._db.transaction(write)
        if dropped:
            await self._values.forget(job_id)
        return dropped

    async def get(self, job_id: str) -> JobRecord | None:
        """The row of a job, or None."""
        parameters = {"this_job": job_id}
        row = await self._db.autocommit(lambda connection: connection.execute(_GET, parameters).mappings().first())
        return None if row is None else _record(row)

    async def snapshot(self, job_id: str) -> dict[str, Any] | None:
        """The final snapshot of a closed job, which shows it without Temporal; or None."""
        parameters = {"this_job": job_id}
        row = await self._db.autocommit(lambda connection: connection.execute(_SNAPSHOT, parameters).first())
        if row is None or row.snapshot is None:
            return None
        return whole_snapshot(row.snapshot, row.result)

    async def events(self, job_id: str) -> builtins.list[dict[str, Any]] | None:
        """Every event of a closed job, oldest first, or None if they are not stored."""
        parameters = {"this_job": job_id}
        row = await self._db.autocommit(lambda connection: connection.execute(_EVENTS, parameters).first())
        return None if row is None or row.events is None else whole_events(row.events, row.result)

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
        """Write the end of a job and its webhook deliveries. Returns whether the row changed.

        Terminal is final, and the first outcome wins. The workflow writes an outcome without a snapshot. The first
        snapshot, read from the closed history, completes that outcome and overrides it where they differ. `since` is
        when the runs of the snapshot began: a snapshot from before a reset is ignored.
        """
        if not state.terminal:
            raise ValueError(f"a job cannot be closed in the open state {state}")
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
        elif snapshot is not None and (progress := snapshot.get("progress")) is not None:
            close = close.values(progress=case((jobs.c.progress < progress, progress), else_=jobs.c.progress))

        def write(connection: Connection) -> builtins.list[DueDelivery] | None:
            if not connection.execute(close, values).rowcount:
                return None
            connection.execute(_END_ATTEMPTS, {"this_job": job_id})
            return self._outbox.job_ended(connection, job_id, state, at)

        due = await self._db.transaction(write)
        if due:
            self._dispatch(due)
        return due is not None

    async def set_state(self, job_id: str, state: JobState) -> None:
        """Change the open state of a job. A closed job stays closed."""
        if state.terminal:
            raise ValueError(f"close() sets the terminal state {state}, not set_state()")
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
        labels: Mapping[str, str] | None = None,
        id_start: str | None = None,
        id_part: str | None = None,
        after: Position | None = None,
        limit: int,
        offset: int,
    ) -> tuple[builtins.list[JobRow], int]:
        """One page of jobs, newest first, and the number of all matches, at most `MOST_COUNTED` beyond the offset."""
        job_filter = Filter(
            owner=owner,
            states=states,
            kind=kind,
            definition=definition,
            subject=subject,
            reasons=reasons,
            attention=attention,
            unattended=unattended,
            since=since,
            until=until,
            labels=labels or {},
            id_start=id_start,
            id_part=id_part,
        )
        page, total = job_page(ROW, job_filter, limit=limit, offset=offset, after=after)

        def read(connection: Connection) -> tuple[builtins.list[JobRow], int]:
            rows = connection.execute(page).mappings().all()
            if rows:
                return [row_of(row) for row in rows], rows[0]["total"]
            return [], connection.execute(total).scalar_one()

        return await self._db.autocommit(read)

    async def _write_new(
        self, row: dict[str, Any], limit: int | None, budget: TokenBudget | None, *, runs: bool
    ) -> bool:
        """Insert a job's row if its owner has a free slot and tokens. False if the row exists.

        Raises `LimitExceeded`, and `WrongState` if another retry of the same job runs or has completed.
        """
        if limit is None and row["retry_of"] is None and budget is None and row["labels"] is None:
            added = await self._db.autocommit(lambda connection: connection.execute(self._insert, row).first())
            return added is not None

        def write(connection: Connection) -> bool:
            if connection.execute(_EXISTS, {"this_job": row["id"]}).first() is not None:
                return False
            if row["retry_of"] is not None:
                check_not_retried(connection, row)
            owner, at = row["owner"], row["created_at"]
            if budget is not None and not runs:
                check_month(connection, owner, budget, at)
            if limit is not None:
                check_slot(connection, owner, limit)
                check_sessions(connection, owner, row["subject"], at)
            if budget is not None:
                row["reserved_tokens"] = reservation(connection, owner, budget, at, checked=not runs)
            added = connection.execute(self._insert, row).first() is not None
            add_labels(connection, row if added else {})
            return added

        return await self._db.transaction(write, owner=row["owner"])

    async def _update(self, job_id: str, condition: ColumnElement[bool], **values: Any) -> None:
        change = update(jobs).where(jobs.c.id == job_id, condition).values(**values)
        await self._db.autocommit(lambda connection: connection.execute(change).close())


def row_of(row: RowMapping) -> JobRow:
    """The row of a list from the columns `ROW`."""
    return JobRow(**_columns(row))


def _record(row: RowMapping) -> JobRecord:
    return JobRecord(
        **_columns(row),
        job=JobInput.model_validate(row["job_input"]),
        namespace_id=row["namespace_id"],
        stored=stored_in(row["job_input"]),
    )


def stored_in(job_input: dict[str, Any]) -> tuple[Stored, ...]:
    """The parts of a `job_input` column that are stored beside the job."""
    return references(job_input.get(_STORED, ()))


def _columns(row: RowMapping) -> dict[str, Any]:
    columns = {name: row[name] for name in JobRow.__dataclass_fields__}
    if columns["error"] is not None:
        columns["error"] = JobError.model_validate(columns["error"])
    columns["labels"] = unpacked(columns["labels"])
    return columns
