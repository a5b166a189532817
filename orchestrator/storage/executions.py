"""Executions of users' agents, which are jobs: lists and sums for their owner (O-020, O-042)."""

import builtins
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, case, func, select

from orchestrator.domain.commands import JobInput
from orchestrator.domain.jobs import OPEN_STATES, SUCCEEDED_STATES, Job, JobError, JobState
from orchestrator.domain.user_agents import EXECUTING, Dashboard, Estate, ExecutionTally, Framework
from orchestrator.storage.database import Database
from orchestrator.storage.jobs import stored_in
from orchestrator.storage.lists import newest_ids, page_of
from orchestrator.storage.moments import Seconds, UtcDay
from orchestrator.storage.tables import attempts, configurations, jobs
from orchestrator.storage.tables import user_agents as agents

_COLUMN_NAMES: Final = (
    "id",
    "state",
    "progress",
    "job_input",
    "snapshot",
    "result",
    "created_at",
    "started_at",
    "closed_at",
)
_COLUMNS: Final = (*(jobs.c[name] for name in _COLUMN_NAMES), jobs.c.error)
_IS_AGENT: Final = (agents.c.id == jobs.c.subject) & (agents.c.owner == jobs.c.owner) & agents.c.deleted_at.is_(None)


class ExecutionRepository:
    """Executions of agents that are not deleted. Every method raises `Unavailable`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def list(
        self,
        owner: str,
        *,
        agent_id: str | None,
        states: Sequence[JobState] | None,
        limit: int,
        offset: int,
    ) -> tuple[builtins.list[Job], int]:
        """One page of an owner's executions, newest first, and the number of all matches.

        Open executions have no calls. An execution that has ended and has no run id lacks its final snapshot.
        """
        matching: builtins.list[ColumnElement[bool]] = []
        if agent_id is not None:
            matching.append(jobs.c.subject == agent_id)
        ids = newest_ids(
            _executions_of(owner).add_columns(jobs.c.id, jobs.c.created_at).where(*matching), states, limit + offset
        )
        page = page_of(select(*_COLUMNS), ids, limit=limit, offset=offset)
        if states is not None:
            matching.append(jobs.c.state.in_(list(states)))
        count = _executions_of(owner).add_columns(func.count()).where(*matching)

        def read(connection: Connection) -> tuple[builtins.list[Job], int]:
            rows = [_job(row) for row in connection.execute(page).mappings()]
            return rows, connection.execute(count).scalar_one()

        return await self._db.autocommit(read)

    async def open(self, owner: str, agent_id: str) -> builtins.list[str]:
        """The ids of an agent's open executions. The agent may be deleted."""
        is_execution = (jobs.c.subject == agent_id) & (jobs.c.owner == owner) & jobs.c.definition.in_(EXECUTING)
        query = select(jobs.c.id).where(is_execution, jobs.c.state.in_(OPEN_STATES))
        return await self._db.autocommit(lambda connection: list(connection.execute(query).scalars()))

    async def dashboard(self, owner: str, *, before: datetime, since: datetime, until: datetime) -> Dashboard:
        """Sums of executions that began from `since` to `until`, the count of those from `before` to `since`, and the
        owner's agents and configurations."""
        tallies = _tallies(owner, since, until)
        earlier = (
            _executions_of(owner)
            .add_columns(func.count())
            .where(jobs.c.created_at >= before, jobs.c.created_at < since)
        )

        def read(connection: Connection) -> Dashboard:
            return Dashboard(
                since=since,
                until=until,
                tallies=_tally_rows(connection.execute(tallies).mappings()),
                executions_before=connection.execute(earlier).scalar_one(),
                estate=_estate(connection, owner, since),
            )

        return await self._db.autocommit(read)


def _executions_of(owner: str) -> Select[Any]:
    is_execution = (jobs.c.owner == owner) & jobs.c.definition.in_(EXECUTING) & jobs.c.subject.is_not(None)
    return select().select_from(jobs.join(agents, _IS_AGENT)).where(is_execution)


def _tallies(owner: str, since: datetime, until: datetime) -> Select[Any]:
    usage = (
        select(
            attempts.c.job_id,
            func.sum(attempts.c.prompt_tokens + attempts.c.completion_tokens).label("tokens"),
            func.sum(attempts.c.cost).label("cost"),
        )
        .where(attempts.c.owner == owner, attempts.c.completed_at >= since)
        .group_by(attempts.c.job_id)
        .subquery()
    )
    day = UtcDay(jobs.c.created_at)
    completed = jobs.c.state.in_(sorted(SUCCEEDED_STATES))
    return (
        select(
            day.label("day"),
            agents.c.framework,
            jobs.c.state,
            func.count().label("total"),
            func.sum(case((completed, Seconds(jobs.c.started_at, jobs.c.closed_at)))).label("seconds"),
            func.sum(usage.c.tokens).label("tokens"),
            func.sum(usage.c.cost).label("cost"),
        )
        .select_from(jobs.join(agents, _IS_AGENT).outerjoin(usage, usage.c.job_id == jobs.c.id))
        .where(jobs.c.owner == owner, jobs.c.definition.in_(EXECUTING))
        .where(jobs.c.created_at >= since, jobs.c.created_at < until)
        .group_by(day, agents.c.framework, jobs.c.state)
    )


def _tally_rows(rows: Any) -> list[ExecutionTally]:
    return [
        ExecutionTally(
            day=date.fromisoformat(row["day"]),
            framework=Framework(row["framework"]),
            state=row["state"],
            total=row["total"],
            seconds=float(row["seconds"] or 0),
            tokens=int(row["tokens"] or 0),
            cost=row["cost"],
        )
        for row in rows
    ]


def _estate(connection: Connection, owner: str, since: datetime) -> Estate:
    is_owned = agents.c.owner == owner
    alive, existed = agents.c.deleted_at.is_(None), agents.c.created_at < since
    was_alive = existed & (agents.c.deleted_at.is_(None) | (agents.c.deleted_at >= since))
    active = select(
        func.count(case((alive & agents.c.active, 1))), func.count(case((was_alive & agents.c.active, 1)))
    ).where(is_owned)
    frameworks = select(agents.c.framework, func.count(case((alive, 1))), func.count(case((was_alive, 1)))).where(
        is_owned
    )
    saved_configurations = select(func.count(), func.count(case((configurations.c.created_at < since, 1)))).where(
        configurations.c.owner == owner
    )
    now, earlier = connection.execute(active).one()
    by_framework = connection.execute(frameworks.group_by(agents.c.framework)).all()
    configurations_now, configurations_earlier = connection.execute(saved_configurations).one()
    return Estate(
        active_agents=now,
        active_agents_before=earlier,
        agents_by_framework={Framework(name): number for name, number, _ in by_framework if number},
        frameworks_before=sum(1 for _, _, number in by_framework if number),
        configurations=configurations_now,
        configurations_before=configurations_earlier,
    )


def _job(row: RowMapping) -> Job:
    if row["snapshot"] is not None:
        return Job.model_validate({"result": row["result"], **row["snapshot"]})
    return JobInput.model_validate(row["job_input"]).job(
        state=row["state"],
        progress=row["progress"],
        created_at=row["created_at"],
        stored=list(stored_in(row["job_input"])),
        error=None if row["error"] is None else JobError.model_validate(row["error"]),
        started_at=row["started_at"],
        closed_at=row["closed_at"],
    )
