"""Sums over ended jobs and attempts, for the metrics of the API (D-054, D-056)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, Table, case, func, select

from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import FAILED_ATTEMPTS, FAILED_STATES, SUCCEEDED_STATES, AttemptStatus, JobState
from orchestrator.domain.metrics import ExecutionCounts, Percentiles, TimeSpan
from orchestrator.storage.database import Database
from orchestrator.storage.moments import Seconds, UtcDay
from orchestrator.storage.tables import attempts, jobs

# A cancelled job or attempt neither succeeded nor failed, and the outcome of an unknown attempt is not known.
_JOB_DONE: Final = jobs.c.state.in_(sorted(SUCCEEDED_STATES))
_JOB_FAILED: Final = jobs.c.state.in_(sorted(FAILED_STATES))
_DONE: Final = attempts.c.status == AttemptStatus.COMPLETED
_FAILED: Final = attempts.c.status.in_(sorted(FAILED_ATTEMPTS))

_JOB_SECONDS: Final = Seconds(jobs.c.started_at, jobs.c.closed_at)
_SECONDS: Final = Seconds(attempts.c.started_at, attempts.c.completed_at)
_TOKENS: Final = attempts.c.prompt_tokens + attempts.c.completion_tokens


@dataclass(frozen=True, slots=True)
class Sum:
    """Executions of a workflow or an agent, by its name, on one UTC day."""

    name: str
    day: date
    executions: ExecutionCounts


@dataclass(frozen=True, slots=True)
class Sums:
    """What ended in a window. `workflow_usage` is the tokens and cost of all attempts of ended workflow jobs."""

    jobs: Sequence[Sum]
    workflows: Sequence[Sum]
    workflow_usage: Sequence[Sum]
    agents: Sequence[Sum]


class MetricsRepository:
    """Reads what ended in a window, for one owner or for all (None). Raises `Unavailable`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def overview(self, window: TimeSpan, *, owner: str | None) -> Sums:
        """Sums of jobs, workflows and agents by UTC day."""
        all_jobs = _ended_jobs(window, owner)
        agents = _ended_attempts(window, owner)
        usage = _workflow_usage(window, owner)

        def read(connection: Connection) -> Sums:
            rows = connection.execute(all_jobs).mappings().all()
            return Sums(
                jobs=_sums(rows),
                workflows=_sums(row for row in rows if row["kind"] is JobKind.WORKFLOW),
                workflow_usage=_sums(connection.execute(usage).mappings()),
                agents=_sums(connection.execute(agents).mappings()),
            )

        return await self._db.autocommit(read)

    async def agent(self, agent_id: str, window: TimeSpan, *, owner: str | None) -> tuple[Sequence[Sum], Percentiles]:
        """Sums of an agent's attempts by UTC day, and percentiles of the durations of completed ones."""
        of_agent = attempts.c.agent == agent_id
        sums = _ended_attempts(window, owner).where(of_agent)
        ranks = _percentiles(_in_window(attempts, window, owner).where(of_agent, _DONE))

        def read(connection: Connection) -> tuple[Sequence[Sum], Percentiles]:
            by_day = _sums(connection.execute(sums).mappings())
            rank = connection.execute(ranks).one()
            return by_day, Percentiles(*(value or 0.0 for value in rank))

        return await self._db.autocommit(read)


def _in_window(table: Table, window: TimeSpan, owner: str | None) -> Select[Any]:
    end = table.c.closed_at if table is jobs else table.c.completed_at
    conditions: list[ColumnElement[bool]] = [end < window.until]
    if window.since is not None:
        conditions.append(end >= window.since)
    if owner is not None:
        conditions.append(table.c.owner == owner)
    return select().select_from(table).where(*conditions)


def _ended_jobs(window: TimeSpan, owner: str | None) -> Select[Any]:
    day = UtcDay(jobs.c.closed_at)
    return (
        _in_window(jobs, window, owner)
        .add_columns(
            day.label("day"),
            jobs.c.kind,
            jobs.c.definition.label("name"),
            func.count(case((_JOB_DONE, 1))).label("successful"),
            func.count(case((_JOB_FAILED, 1))).label("failed"),
            func.sum(case((_JOB_DONE, _JOB_SECONDS))).label("seconds"),
        )
        .group_by(day, jobs.c.kind, jobs.c.definition)
    )


def _ended_attempts(window: TimeSpan, owner: str | None) -> Select[Any]:
    day = UtcDay(attempts.c.completed_at)
    return (
        _in_window(attempts, window, owner)
        .add_columns(
            day.label("day"),
            attempts.c.agent.label("name"),
            func.count(case((_DONE, 1))).label("successful"),
            func.count(case((_FAILED, 1))).label("failed"),
            func.sum(case((_DONE, _SECONDS))).label("seconds"),
            func.sum(_TOKENS).label("tokens"),
            func.sum(attempts.c.cost).label("known_cost"),
        )
        .group_by(day, attempts.c.agent)
    )


def _workflow_usage(window: TimeSpan, owner: str | None) -> Select[Any]:
    """The tokens of every attempt of workflow jobs that succeeded or failed in the window."""
    ended = (
        _in_window(jobs, window, owner)
        .where(jobs.c.kind == JobKind.WORKFLOW, jobs.c.state != JobState.CANCELLED)
        .add_columns(jobs.c.id, jobs.c.definition, UtcDay(jobs.c.closed_at).label("day"))
        .subquery()
    )
    return (
        select(
            ended.c.day,
            ended.c.definition.label("name"),
            func.sum(_TOKENS).label("tokens"),
            func.sum(attempts.c.cost).label("known_cost"),
        )
        .join_from(ended, attempts, attempts.c.job_id == ended.c.id)
        .group_by(ended.c.day, ended.c.definition)
    )


def _percentiles(attempts_query: Select[Any]) -> Select[Any]:
    """Nearest-rank percentiles: of `n` sorted durations, the one at the rounded-up share of `n`."""
    times = attempts_query.add_columns(_SECONDS.label("seconds")).subquery()
    ranked = select(
        times.c.seconds,
        func.row_number().over(order_by=times.c.seconds).label("rank"),
        func.count().over().label("total"),
    ).subquery()
    at = ((ranked.c.total * percent + 99) // 100 for percent in (50, 95, 99))
    return select(*(func.max(case((ranked.c.rank == rank, ranked.c.seconds))) for rank in at))


def _sums(rows: Iterable[RowMapping]) -> list[Sum]:
    return [
        Sum(
            name=row["name"],
            day=date.fromisoformat(row["day"]),
            executions=ExecutionCounts(
                **{
                    column: row[column]
                    for column in ("successful", "failed", "seconds", "tokens", "known_cost")
                    if row.get(column) is not None
                }
            ),
        )
        for row in rows
    ]
