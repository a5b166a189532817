"""Rows of agent calls: the outcome and the usage of each attempt."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    RowMapping,
    ScalarSelect,
    bindparam,
    case,
    func,
    select,
    update,
)

from orchestrator.domain.backoff import Backoff
from orchestrator.domain.budgets import Claim, TokenBudget
from orchestrator.domain.commands import AgentTask
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.jobs import (
    FAILED_ATTEMPTS,
    OPEN_STATES,
    AgentCall,
    Attempt,
    AttemptStatus,
    Job,
    JobError,
    JobState,
)
from orchestrator.domain.metrics import AgentHealth
from orchestrator.domain.text import error_message, error_name
from orchestrator.domain.usage import Usage
from orchestrator.storage.database import Database
from orchestrator.storage.grouped_writes import GroupedWrites, Write
from orchestrator.storage.late_writes import LateWrites
from orchestrator.storage.moments import Seconds
from orchestrator.storage.tables import attempts, jobs
from orchestrator.storage.token_use import TokenClaim, token_use

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

log = structlog.get_logger(__name__)

RETRY_DELAYS: Final = tuple(islice(Backoff(0.1, 0.4, factor=4.0).pauses(), 2))
WRITE_LIMIT: Final = 2.0  # Seconds that all tries of one write may delay the job.
_MAX_CLAIM: Final = 31 * 24 * 3600.0  # Seconds: a claim counts against one month.

_KEY: Final = ("job_id", "step", "agent", "call", "run_id", "attempt")
_MAX_OPEN_PROGRESS: Final = 99
# A running attempt has none of these.
_NO_END: Final = dict.fromkeys(("completed_at", "model", "error", *Usage.model_fields))

# Statements that every call needs are built once: building one costs more than running it.
_THIS_JOB: Final[BindParameter[str]] = bindparam("this_job")
_END_EARLIER: Final = (
    update(attempts)
    .where(*(attempts.c[name] == bindparam(f"this_{name}") for name in _KEY[:-1]))
    .where(attempts.c.attempt < bindparam("this_attempt"), attempts.c.status == AttemptStatus.RUNNING)
    .values(status=AttemptStatus.UNKNOWN)
)
_PENDING: Final = jobs.c.state == JobState.PENDING
_JOB_RUNS: Final = (
    update(jobs)
    .where(jobs.c.id == _THIS_JOB, jobs.c.state.in_(sorted(OPEN_STATES)))
    .where(_PENDING | jobs.c.started_at.is_(None))
    .values(
        state=case((_PENDING, JobState.RUNNING), else_=jobs.c.state),
        started_at=func.coalesce(jobs.c.started_at, bindparam("began", type_=jobs.c.started_at.type)),
    )
)
_LOCK_JOB: Final = select(jobs.c.id).where(jobs.c.id == _THIS_JOB).with_for_update()


def _count_calls(condition: ColumnElement[bool]) -> ScalarSelect[int]:
    """The number of the job's calls with an attempt that matches the condition."""
    distinct = select(attempts.c.step, attempts.c.agent, attempts.c.call).distinct()
    return (
        select(func.count()).select_from(distinct.where(attempts.c.job_id == _THIS_JOB, condition).subquery())
    ).scalar_subquery()


# A repeated call of a step and agent adds to the planned calls.
_ALL_CALLS: Final = jobs.c.total_calls + _count_calls(attempts.c.call > 1)
_DONE_CALLS: Final = jobs.c.reused_calls + _count_calls(attempts.c.status == AttemptStatus.COMPLETED)
_SHARE: Final = _DONE_CALLS * 100 // _ALL_CALLS
_ADVANCE: Final = (
    update(jobs)
    .where(jobs.c.id == _THIS_JOB, jobs.c.state.in_(sorted(OPEN_STATES)), jobs.c.total_calls > 0)
    .where(jobs.c.progress < _SHARE)
    .values(progress=case((_SHARE > _MAX_OPEN_PROGRESS, _MAX_OPEN_PROGRESS), else_=_SHARE))
)
_OF_JOB: Final = (
    select(attempts)
    .where(attempts.c.job_id == _THIS_JOB)
    .order_by(attempts.c.step, attempts.c.agent, attempts.c.call, attempts.c.attempt, attempts.c.run_id)
)


class AttemptRow(NamedTuple):
    """One attempt of an agent call. `run_id` is its workflow run; rows of old releases have an empty one.

    `step` is the place of the call: the step, with the key of the call if it has one.
    """

    step: str
    agent: str
    call: int
    attempt: Attempt
    run_id: str


@dataclass(slots=True)
class _Start:
    """The start of an attempt that is not written yet. `due` is set when its write begins."""

    at: datetime
    writing: "asyncio.Task[None] | None" = None
    due: bool = False


class AttemptRepository:
    """Implements the port `AttemptLog` in the job index, and reads attempts.

    The start of an attempt waits `patience` seconds for its end: a call that ends by then costs one transaction.
    """

    def __init__(self, db: Database, *, patience: float = 0) -> None:
        self._db = db
        self._patience = patience
        self._starts: dict[tuple[Any, ...], _Start] = {}
        ends = ("status", "completed_at", "model", "error", *Usage.model_fields)
        self._begin = _upsert(db, ("started_at", "claimed_tokens", "claimed_until", *ends))
        self._end = _upsert(db, ends)
        self._repair = _upsert(db, ends, where=attempts.c.completed_at.is_(None))
        self._late: set[asyncio.Task[None]] = set()
        self._late_ends = LateWrites()
        self._quick_ends = GroupedWrites(db)

    async def claim(
        self,
        task: AgentTask,
        *,
        attempt: int,
        at: datetime,
        run_id: str,
        budget: TokenBudget,
        tokens: int,
        least: int,
    ) -> Claim:
        """Begin an attempt and claim up to `tokens` of its owner's monthly budget.

        The claim is limited to the remaining budget. If less than `least` remains, the attempt does not begin and the
        claim is 0. Raises `Unavailable`.
        """
        key = _key(task, run_id, attempt)
        call = TokenClaim(task.job_id, budget.root or "", run_id, task.call_id.place, task.agent, task.call)
        until = at + timedelta(seconds=min(task.step.timeouts.start_to_close, _MAX_CLAIM))
        running = {"owner": task.owner or None, "status": AttemptStatus.RUNNING, **_NO_END}

        def write(connection: Connection) -> Claim:
            use = token_use(connection, task.owner, at, call)
            claim = Claim(min(tokens, use.remaining(budget.monthly)), use)
            if claim.tokens < least:
                return Claim(0, use)
            self._write_start(connection, key, at, {**running, "claimed_tokens": claim.tokens, "claimed_until": until})
            return claim

        return await self._db.transaction(write, owner=task.owner)

    async def started(self, task: AgentTask, *, attempt: int, at: datetime, run_id: str = "") -> None:
        """Record that an attempt began: the job runs, and earlier attempts of the call do not. Never raises."""
        key = _key(task, run_id, attempt)
        start = self._starts[tuple(key.values())] = _Start(at)

        async def write() -> None:
            running = {"owner": task.owner or None, "status": AttemptStatus.RUNNING, **_NO_END}
            await self._db.transaction(lambda connection: self._write_start(connection, key, at, running))

        async def write_in_time() -> None:
            await asyncio.sleep(self._patience)
            start.due = True
            await self._try(write, "started", task, attempt)
            self._starts.pop(tuple(key.values()), None)

        start.writing = asyncio.create_task(write_in_time())
        if not self._patience:
            await start.writing

    async def ended(
        self,
        task: AgentTask,
        *,
        attempt: int,
        at: datetime,
        status: AttemptStatus,
        usage: Usage | None = None,
        model: str | None = None,
        error: JobError | None = None,
        run_id: str = "",
    ) -> None:
        """Record the end of an attempt; a completed one raises the job's progress. Never raises.

        If the index does not answer in time, the end is written later, because the attempt's usage must be billed and
        its claim must end. The end of a completed call that was too quick for a row of its start is written in the
        background: its result enters the history, which repairs a lost row.
        """
        end = {"status": status, "completed_at": at, "model": model, "error": error, **_usage_values(usage)}
        outcome = {"owner": task.owner or None, **end}
        key = _key(task, run_id, attempt)
        started_at = await self._unwritten_start(key)

        def unit(connection: Connection) -> None:
            self._write_end(connection, key, outcome, started_at)

        async def write() -> None:
            await self._db.transaction(unit)

        async def write_in_time() -> None:
            if isinstance(await self._try(write, "ended", task, attempt), Unavailable):
                self._late_ends.add(write)

        if started_at is not None and status is AttemptStatus.COMPLETED:
            await self._quick_ends.add(Write(task.job_id, unit, write_in_time))
        else:
            await write_in_time()

    async def written(self, job_id: str) -> None:
        """Wait for the ends of the job's attempts that are being written in the background."""
        await self._quick_ends.written(job_id)

    async def settle(self) -> None:
        """Try once more to write the missing ends. Call this before the connections are closed."""
        await self._quick_ends.settle(WRITE_LIMIT)
        await self._late_ends.settle(WRITE_LIMIT)

    async def repair(self, job: Job, missing: Sequence[tuple[AgentCall, Attempt]]) -> None:
        """Write attempts of a job from its history, unless their row has an end already. Raises `Unavailable`."""
        rows = [
            {
                "job_id": job.id,
                "step": call.call_id.place,
                "agent": call.agent,
                "call": call.number,
                "run_id": call.run_id,
                "attempt": attempt.number,
                "owner": job.owner or None,
                "status": attempt.status,
                "started_at": attempt.started_at or call.scheduled_at,
                "completed_at": attempt.completed_at or call.completed_at,
                "model": call.model,
                "error": attempt.error,
                **_usage_values(attempt.usage),
            }
            for call, attempt in missing
        ]
        await self._db.transaction(lambda connection: connection.execute(self._repair, rows).close())

    async def for_job(self, job_id: str) -> list[AttemptRow]:
        """Return every attempt of a job, ordered by step, agent, call and number. Raises `Unavailable`."""
        await self.written(job_id)
        parameters = {"this_job": job_id}
        return await self._db.autocommit(lambda c: [_row(row) for row in c.execute(_OF_JOB, parameters).mappings()])

    async def agent_health(self, agent_id: str, *, since: datetime) -> AgentHealth:
        """An agent's health in the attempts that began since a time (D-031). Raises `Unavailable`.

        The time of the last execution ignores `since`.
        """
        status = attempts.c.status
        completed = status == AttemptStatus.COMPLETED
        failed = status.in_(sorted(FAILED_ATTEMPTS))
        last = select(func.max(attempts.c.started_at)).where(attempts.c.agent == agent_id).scalar_subquery()
        query = select(
            last.label("last"),
            func.avg(case((completed, Seconds(attempts.c.started_at, attempts.c.completed_at)))).label("mean"),
            func.count(case((completed | failed, 1))).label("executions"),
            func.count(case((failed, 1))).label("failures"),
        ).where(attempts.c.agent == agent_id, attempts.c.started_at >= since)
        row = await self._db.autocommit(lambda connection: connection.execute(query).one())
        return AgentHealth(row.last, row.mean, row.executions, row.failures)

    async def _unwritten_start(self, key: dict[str, Any]) -> datetime | None:
        """The start time of an attempt if it is not written yet, else None. Waits for a write that has begun."""
        start = self._starts.pop(tuple(key.values()), None)
        if start is None or start.writing is None:
            return None
        if start.due:
            await start.writing
            return None
        start.writing.cancel()
        return start.at

    def _write_start(self, connection: Connection, key: dict[str, Any], at: datetime, values: dict[str, Any]) -> None:
        if key["attempt"] > 1:
            connection.execute(_END_EARLIER, {f"this_{name}": value for name, value in key.items()})
        connection.execute(self._begin, {**key, "started_at": at, **values})
        connection.execute(_JOB_RUNS, {"this_job": key["job_id"], "began": at})

    def _write_end(
        self, connection: Connection, key: dict[str, Any], outcome: dict[str, Any], started_at: datetime | None
    ) -> None:
        parameters = {"this_job": key["job_id"]}
        completed = outcome["status"] is AttemptStatus.COMPLETED
        if completed and connection.dialect.name == "postgresql":
            # If two calls end at once, the second must count the first. Transactions of SQLite do not overlap.
            connection.execute(_LOCK_JOB, parameters).close()
        if started_at is None:
            connection.execute(self._end, {**key, **outcome})
        else:
            self._write_start(connection, key, started_at, outcome)
        if completed:
            connection.execute(_ADVANCE, parameters)

    async def _try(
        self, write: Callable[[], Awaitable[None]], operation: str, task: AgentTask, attempt: int
    ) -> Exception | None:
        """Write with retries for at most `WRITE_LIMIT`, so that an index that is down delays no job.

        Returns the error if nothing was written.
        """
        writing = asyncio.create_task(_write_with_retries(write))
        try:
            # Not wait_for: it waits for the driver, which may take many seconds to cancel a query of a hanging server.
            await asyncio.wait({writing}, timeout=WRITE_LIMIT)
        finally:
            if not writing.done():
                writing.cancel()
                self._late.add(writing)
                writing.add_done_callback(self._late.discard)
        fault: Exception | None = None
        if not writing.done():
            fault = Unavailable(f"The job index did not answer within {WRITE_LIMIT:g} seconds.", fault="slow")
        else:
            try:
                writing.result()
            except Exception as error:  # noqa: BLE001 - the call is done and paid for: no error of its record may fail it
                fault = error
        if fault is not None:
            log.warning(
                "index_write_failed",
                operation=operation,
                job_id=task.job_id,
                step=task.step.id,
                agent=task.agent,
                attempt=attempt,
                error=error_message(fault),
                fault=fault.details.get("fault") if isinstance(fault, Unavailable) else error_name(fault),
            )
        return fault


async def _write_with_retries(write: Callable[[], Awaitable[None]]) -> None:
    for delay in RETRY_DELAYS:
        try:
            return await write()
        except Unavailable:
            await asyncio.sleep(delay)
    return await write()


def _upsert(
    db: Database, names: Sequence[str], where: ColumnElement[bool] | None = None
) -> "postgresql.Insert | sqlite.Insert":
    """The statement that inserts an attempt, or updates the named columns of an existing row that matches `where`."""
    row = db.insert(attempts)
    values = {name: row.excluded[name] for name in names}
    return row.on_conflict_do_update(index_elements=_KEY, set_=values, where=where)


def _key(task: AgentTask, run_id: str, attempt: int) -> dict[str, Any]:
    return dict(zip(_KEY, (task.job_id, task.call_id.place, task.agent, task.call, run_id, attempt), strict=True))


def _usage_values(usage: Usage | None) -> dict[str, Any]:
    return usage.model_dump() if usage is not None else dict.fromkeys(Usage.model_fields)


def _row(row: RowMapping) -> AttemptRow:
    has_usage = row["prompt_tokens"] is not None
    error = row["error"]
    attempt = Attempt(
        number=row["attempt"],
        status=row["status"],
        started_at=row["started_at"],
        completed_at=row["completed_at"],
        error=None if error is None else JobError.model_validate(error),
        usage=Usage(**{name: row[name] for name in Usage.model_fields}) if has_usage else None,
    )
    return AttemptRow(row["step"], row["agent"], row["call"], attempt, row["run_id"])
