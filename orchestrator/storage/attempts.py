"""Rows of agent calls: what happened in each attempt, and what it used (A4)."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final, NamedTuple

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
from sqlalchemy.dialects import postgresql, sqlite

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
from orchestrator.storage.late_writes import LateWrites
from orchestrator.storage.moments import Seconds
from orchestrator.storage.tables import attempts, jobs
from orchestrator.storage.token_use import BILLED_SINCE, TokenClaim, token_use

log = structlog.get_logger(__name__)

RETRY_DELAYS: Final = tuple(islice(Backoff(0.1, 0.4, factor=4.0).pauses(), 2))
WRITE_LIMIT: Final = 2.0  # Seconds that all tries of one write may hold the job.
_LONGEST_CLAIM: Final = 31 * 24 * 3600.0  # Seconds: what a call claims is of one month.

_KEY: Final = ("job_id", "step", "agent", "call", "run_id", "attempt")
_MAX_OPEN_PROGRESS: Final = 99
_NOTHING: Final = dict.fromkeys(("completed_at", "model", "error", *Usage.model_fields))  # of an attempt that runs

# Statements that every call needs are made once: to make one costs more than to run it.
_THIS_JOB: Final[BindParameter[str]] = bindparam("this_job")
_LEAVE_EARLIER: Final = (
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


def _calls(condition: ColumnElement[bool]) -> ScalarSelect[int]:
    """How many calls of the job have such an attempt."""
    distinct = select(attempts.c.step, attempts.c.agent, attempts.c.call).distinct()
    return (
        select(func.count()).select_from(distinct.where(attempts.c.job_id == _THIS_JOB, condition).subquery())
    ).scalar_subquery()


# A step and agent called again adds to what was planned.
_ALL_CALLS: Final = jobs.c.total_calls + _calls(attempts.c.call > 1)
_DONE_CALLS: Final = jobs.c.reused_calls + _calls(attempts.c.status == AttemptStatus.COMPLETED)
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
    """One attempt of one agent call. `run_id` is the workflow run that made it, empty if an old release wrote it."""

    step: str
    agent: str
    call: int
    attempt: Attempt
    run_id: str


@dataclass(slots=True)
class _Start:
    """The start of an attempt until it is written; `due` once its write is under way."""

    at: datetime
    writing: "asyncio.Task[None] | None" = None
    due: bool = False


class AttemptRepository:
    """The port `AttemptLog` over the job index, and its reading side.

    `patience` is how many seconds a start may wait for its end, so that a call done by then costs one transaction.
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
        """Begin an attempt that may use up to `tokens` of its owner's month.

        It gets what is left, and does not begin where that is less than `least`. Raises `Unavailable`.
        """
        key = _key(task, run_id, attempt)
        call = TokenClaim(task.job_id, budget.root or "", run_id, task.step.id, task.agent, task.call)
        until = at + timedelta(seconds=min(task.step.timeouts.start_to_close, _LONGEST_CLAIM))
        running = {"owner": task.owner or None, "status": AttemptStatus.RUNNING, **_NOTHING}

        def write(connection: Connection) -> Claim:
            use = token_use(connection, task.owner, at, call)
            claim = Claim(min(tokens, use.left(budget.monthly)), use)
            if claim.tokens < least:
                return Claim(0, use)
            self._write_start(connection, key, at, {**running, "claimed_tokens": claim.tokens, "claimed_until": until})
            return claim

        return await self._db.transaction(write, owner=task.owner)

    async def started(self, task: AgentTask, *, attempt: int, at: datetime, run_id: str = "") -> None:
        """An attempt began: earlier ones of the call can no longer be running, and the job is. Never raises."""
        key = _key(task, run_id, attempt)
        start = self._starts[tuple(key.values())] = _Start(at)

        async def write() -> None:
            running = {"owner": task.owner or None, "status": AttemptStatus.RUNNING, **_NOTHING}
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
        """An attempt ended; a completed one moves the job's progress on. Never raises.

        What the index does not take in time is written later, for what the attempt used is billed and its claim ends.
        """
        ended = {"status": status, "completed_at": at, "model": model, "error": error, **_usage_values(usage)}
        outcome = {"owner": task.owner or None, **ended}
        key = _key(task, run_id, attempt)
        began = await self._unwritten_start(key)

        async def write() -> None:
            await self._db.transaction(lambda connection: self._write_end(connection, key, outcome, began))

        if isinstance(await self._try(write, "ended", task, attempt), Unavailable):
            self._late_ends.add(write)

    async def settle(self) -> None:
        """Try to write the ends once more that the index did not take. Before the connections are closed."""
        await self._late_ends.settle(WRITE_LIMIT)

    async def repair(self, job: Job, missing: Sequence[tuple[AgentCall, Attempt]]) -> None:
        """Write attempts of a job as its history tells them, where no row tells their end. Raises `Unavailable`."""
        rows = [
            {
                "job_id": job.id,
                "step": call.step,
                "agent": call.agent,
                "call": call.number,
                "run_id": call.run_id,
                "attempt": one.number,
                "owner": job.owner or None,
                "status": one.status,
                "started_at": one.started_at or call.scheduled_at,
                "completed_at": one.completed_at or call.completed_at,
                "model": call.model,
                "error": one.error,
                **_usage_values(one.usage),
            }
            for call, one in missing
        ]
        await self._db.transaction(lambda connection: connection.execute(self._repair, rows).close())

    async def for_job(self, job_id: str) -> list[AttemptRow]:
        """Every known attempt of a job, by step, agent, call and number. Raises `Unavailable`."""
        this = {"this_job": job_id}
        return await self._db.autocommit(lambda c: [_row(found) for found in c.execute(_OF_JOB, this).mappings()])

    async def agent_health(self, agent_id: str, *, since: datetime) -> AgentHealth:
        """How an agent fared in the attempts begun since a time; the last execution is of any time (D-031).

        Raises `Unavailable`.
        """
        status = attempts.c.status
        completed = status == AttemptStatus.COMPLETED
        failed = status.in_(sorted(FAILED_ATTEMPTS))
        last = select(func.max(attempts.c.started_at)).where(attempts.c.agent == agent_id).scalar_subquery()
        wanted = select(
            last.label("last"),
            func.avg(case((completed, Seconds(attempts.c.started_at, attempts.c.completed_at)))).label("mean"),
            func.count(case((completed | failed, 1))).label("executions"),
            func.count(case((failed, 1))).label("failures"),
        ).where(attempts.c.agent == agent_id, attempts.c.started_at >= since)
        found = await self._db.autocommit(lambda connection: connection.execute(wanted).one())
        return AgentHealth(found.last, found.mean, found.executions, found.failures)

    async def tokens_since(self, owner: str, since: datetime) -> int:
        """Prompt and completion tokens that an owner was billed for in attempts that ended since a time (D-065).

        Every attempt counts, failed and repeated ones too. Raises `Unavailable`.
        """
        wanted = {"this_owner": owner, "since": since}
        return await self._db.autocommit(lambda connection: int(connection.execute(BILLED_SINCE, wanted).scalar_one()))

    async def _unwritten_start(self, key: dict[str, Any]) -> datetime | None:
        """When an attempt began, if that is still to be written; a write that is under way is waited for."""
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
            connection.execute(_LEAVE_EARLIER, {f"this_{name}": value for name, value in key.items()})
        connection.execute(self._begin, {**key, "started_at": at, **values})
        connection.execute(_JOB_RUNS, {"this_job": key["job_id"], "began": at})

    def _write_end(
        self, connection: Connection, key: dict[str, Any], outcome: dict[str, Any], began: datetime | None
    ) -> None:
        this = {"this_job": key["job_id"]}
        completed = outcome["status"] is AttemptStatus.COMPLETED
        if completed and connection.dialect.name == "postgresql":
            # Of two calls that end at once, the second must count the first. SQLite's transactions do not overlap.
            connection.execute(_LOCK_JOB, this).close()
        if began is None:
            connection.execute(self._end, {**key, **outcome})
        else:
            self._write_start(connection, key, began, outcome)
        if completed:
            connection.execute(_ADVANCE, this)

    async def _try(
        self, write: Callable[[], Awaitable[None]], operation: str, task: AgentTask, attempt: int
    ) -> Exception | None:
        """Write, try again after a fault, and give up within `WRITE_LIMIT`: an index that is down holds no job.

        Returns why nothing is written.
        """
        writing = asyncio.create_task(_write_with_retries(write))
        try:
            # Not wait_for: a driver may take many seconds to give up a query of a server that hangs.
            await asyncio.wait({writing}, timeout=WRITE_LIMIT)
        finally:
            if not writing.done():
                writing.cancel()
                self._late.add(writing)
                writing.add_done_callback(self._late.discard)
        fault: Exception | None = None
        if not writing.done():
            fault = Unavailable("The job index is too slow.", fault="slow")
        else:
            try:
                writing.result()
            except Exception as error:  # noqa: BLE001 - whatever it is, the call has been made and is paid for
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
) -> postgresql.Insert | sqlite.Insert:
    """Write an attempt, or those columns of it where its row exists, if that is as `where` says."""
    row = db.insert(attempts)
    values = {name: row.excluded[name] for name in names}
    return row.on_conflict_do_update(index_elements=_KEY, set_=values, where=where)


def _key(task: AgentTask, run_id: str, attempt: int) -> dict[str, Any]:
    return dict(zip(_KEY, (task.job_id, task.step.id, task.agent, task.call, run_id, attempt), strict=True))


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
    return AttemptRow(found["step"], found["agent"], found["call"], attempt, found["run_id"])
