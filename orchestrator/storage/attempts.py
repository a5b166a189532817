"""Rows of agent calls: what happened in each attempt, and what it used (A4, D-031)."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import structlog
from sqlalchemy import Float, RowMapping, case, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

from orchestrator.domain.commands import AgentTask
from orchestrator.domain.errors import InvalidInput, Unavailable
from orchestrator.domain.jobs import OPEN_STATES, Attempt, AttemptStatus, JobError, JobState
from orchestrator.domain.usage import Usage
from orchestrator.storage.database import Database
from orchestrator.storage.tables import attempts, jobs

log = structlog.get_logger(__name__)

RETRY_DELAYS: Final = (0.1, 0.4)
WRITE_LIMIT: Final = 2.0  # Seconds that all tries of one write may hold the job.

_KEY: Final = ("job_id", "step", "agent", "attempt")
_FAILED: Final = (AttemptStatus.FAILED, AttemptStatus.TIMED_OUT)
_MAX_OPEN_PROGRESS: Final = 99


class AttemptRow(NamedTuple):
    """One attempt of one agent call."""

    step: str
    agent: str
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class AgentHealth:
    """How an agent fared (D-031): seconds per completed call, attempts that ended by themselves, and failed ones."""

    last_execution: datetime | None
    avg_response_time: float | None
    executions: int
    failures: int


class AttemptRepository:
    """The port `AttemptLog` over the job index, and its reading side."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._late: set[asyncio.Task[None]] = set()

    async def started(self, task: AgentTask, *, attempt: int, at: datetime) -> None:
        """An attempt began: earlier ones of the call can no longer be running, and the job is. Never raises."""

        async def write() -> None:
            async with self._db.session() as connection:
                await self._write_start(connection, task, attempt, at)

        await self._try(write, "started", task, attempt)

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
    ) -> None:
        """An attempt ended; a completed one moves the job's progress on. Never raises."""
        outcome = {"status": status, "completed_at": at, "model": model, "error": error, **_usage_values(usage)}

        async def write() -> None:
            async with self._db.session() as connection:
                await self._write_end(connection, _key(task, attempt), outcome)

        await self._try(write, "ended", task, attempt)

    async def for_job(self, job_id: str) -> list[AttemptRow]:
        """Every known attempt of a job, by step, agent and number. Raises `Unavailable`."""
        wanted = select(attempts).where(attempts.c.job_id == job_id)
        ordered = wanted.order_by(attempts.c.step, attempts.c.agent, attempts.c.attempt)
        async with self._db.autocommit() as connection:
            return [_row(found) for found in (await connection.execute(ordered)).mappings()]

    async def agent_health(self, agent_id: str, *, since: datetime) -> AgentHealth:
        """How an agent fared in the attempts begun since a time; the last execution is of any time (D-031).

        Raises `Unavailable`.
        """
        status = attempts.c.status
        completed = status == AttemptStatus.COMPLETED
        failed = status.in_(_FAILED)
        last = select(func.max(attempts.c.started_at)).where(attempts.c.agent == agent_id).scalar_subquery()
        wanted = select(
            last.label("last"),
            func.avg(case((completed, _Seconds(attempts.c.started_at, attempts.c.completed_at)))).label("mean"),
            func.count(case((completed | failed, 1))).label("executions"),
            func.count(case((failed, 1))).label("failures"),
        ).where(attempts.c.agent == agent_id, attempts.c.started_at >= since)
        async with self._db.autocommit() as connection:
            found = (await connection.execute(wanted)).one()
        return AgentHealth(found.last, found.mean, found.executions, found.failures)

    async def _write_start(self, connection: AsyncConnection, task: AgentTask, attempt: int, at: datetime) -> None:
        key = _key(task, attempt)
        await connection.execute(
            update(attempts)
            .where(*(attempts.c[name] == key[name] for name in _KEY[:-1]))
            .where(attempts.c.attempt < attempt, attempts.c.status == AttemptStatus.RUNNING)
            .values(status=AttemptStatus.UNKNOWN)
        )
        nothing = {"completed_at": None, "model": None, "error": None, **_usage_values(None)}
        await self._upsert(connection, key, {"status": AttemptStatus.RUNNING, "started_at": at, **nothing})
        pending = jobs.c.state == JobState.PENDING
        await connection.execute(
            update(jobs)
            .where(jobs.c.id == task.job_id, jobs.c.state.in_(sorted(OPEN_STATES)))
            .where(pending | jobs.c.started_at.is_(None))
            .values(
                state=case((pending, JobState.RUNNING), else_=jobs.c.state),
                started_at=func.coalesce(jobs.c.started_at, at),
            )
        )

    async def _write_end(self, connection: AsyncConnection, key: dict[str, Any], outcome: dict[str, Any]) -> None:
        if outcome["status"] is not AttemptStatus.COMPLETED:
            await self._upsert(connection, key, outcome)
            return
        job = jobs.c.id == key["job_id"]
        # The lock comes first: of two calls that end at once, the second must count the first.
        locked = select(jobs.c.progress, jobs.c.total_calls, jobs.c.state).where(job).with_for_update()
        row = (await connection.execute(locked)).first()
        await self._upsert(connection, key, outcome)
        if row is None or row.state.terminal or not row.total_calls:
            return
        calls = select(attempts.c.step, attempts.c.agent).distinct()
        calls = calls.where(attempts.c.job_id == key["job_id"], attempts.c.status == AttemptStatus.COMPLETED)
        done = (await connection.execute(select(func.count()).select_from(calls.subquery()))).scalar_one()
        progress = min(_MAX_OPEN_PROGRESS, done * 100 // row.total_calls)
        if progress > row.progress:
            await connection.execute(update(jobs).where(job).values(progress=progress))

    async def _upsert(self, connection: AsyncConnection, key: dict[str, Any], values: dict[str, Any]) -> None:
        row = self._db.insert(attempts).values(**key, **values)
        await connection.execute(row.on_conflict_do_update(index_elements=_KEY, set_=values))

    async def _try(self, write: Callable[[], Awaitable[None]], operation: str, task: AgentTask, attempt: int) -> None:
        """Write, try again after a fault, and give up within `WRITE_LIMIT`: an index that is down holds no job."""
        writing = asyncio.create_task(_write_with_retries(write))
        try:
            # Not wait_for: a driver may take many seconds to give up a query of a server that hangs.
            await asyncio.wait({writing}, timeout=WRITE_LIMIT)
        finally:
            if not writing.done():
                writing.cancel()
                self._late.add(writing)
                writing.add_done_callback(self._late.discard)
        fault: Unavailable | InvalidInput | None = None
        if not writing.done():
            fault = Unavailable("The job index is too slow.", fault="slow")
        else:
            try:
                writing.result()
            except (Unavailable, InvalidInput) as error:
                fault = error
        if fault is not None:
            log.warning(
                "index_write_failed",
                operation=operation,
                job_id=task.job_id,
                step=task.step.id,
                agent=task.agent,
                attempt=attempt,
                error=fault.message,
                fault=fault.details.get("fault"),
            )


async def _write_with_retries(write: Callable[[], Awaitable[None]]) -> None:
    for delay in RETRY_DELAYS:
        try:
            return await write()
        except Unavailable:
            await asyncio.sleep(delay)
    return await write()


class _Seconds(FunctionElement[float]):
    """Seconds from the first timestamp to the second."""

    type = Float()
    inherit_cache = True


@compiles(_Seconds, "postgresql")
def _postgresql_seconds(element: _Seconds, compiler: SQLCompiler, **kw: Any) -> str:
    begin, end = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"EXTRACT(EPOCH FROM {end} - {begin})::float"


@compiles(_Seconds, "sqlite")
def _sqlite_seconds(element: _Seconds, compiler: SQLCompiler, **kw: Any) -> str:
    begin, end = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"((julianday({end}) - julianday({begin})) * 86400.0)"


def _key(task: AgentTask, attempt: int) -> dict[str, Any]:
    return dict(zip(_KEY, (task.job_id, task.step.id, task.agent, attempt), strict=True))


def _usage_values(usage: Usage | None) -> dict[str, Any]:
    return usage.model_dump() if usage is not None else dict.fromkeys(Usage.model_fields)


def _row(found: RowMapping) -> AttemptRow:
    counted = found["prompt_tokens"] is not None
    error = found["error"]
    attempt = Attempt(
        number=found["attempt"],
        status=found["status"],
        started_at=found["started_at"],
        completed_at=found["completed_at"],
        error=None if error is None else JobError.model_validate(error),
        usage=Usage(**{name: found[name] for name in Usage.model_fields}) if counted else None,
    )
    return AttemptRow(found["step"], found["agent"], attempt)
