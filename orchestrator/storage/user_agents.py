"""Rows of users' agents, with figures about their executions (O-009 to O-017)."""

import builtins
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, RowMapping, case, exists, func, select, update

from orchestrator.domain.jobs import FAILED_STATES, SUCCEEDED_STATES, UNPAUSED_STATES, JobState
from orchestrator.domain.user_agents import EXECUTING, AgentFigures, AgentStatus, Framework, LiveAgent, UserAgent
from orchestrator.storage.database import Database
from orchestrator.storage.moments import Seconds
from orchestrator.storage.owned_rows import add_row
from orchestrator.storage.tables import jobs
from orchestrator.storage.tables import user_agents as agents

_FIELDS: Final = tuple(agents.c[name] for name in UserAgent.__dataclass_fields__)
_ALIVE: Final = agents.c.deleted_at.is_(None)

# Which jobs are executions of an agent.
_IS_EXECUTION: Final = (
    (jobs.c.subject == agents.c.id) & (jobs.c.owner == agents.c.owner) & jobs.c.definition.in_(EXECUTING)
)


def _has_job_in(*states: JobState) -> ColumnElement[bool]:
    return exists().where(_IS_EXECUTION, jobs.c.state.in_(states)).correlate(agents)


_NEWEST: Final = (
    select(jobs.c.state)
    .where(_IS_EXECUTION)
    .order_by(jobs.c.created_at.desc(), jobs.c.id.desc())
    .limit(1)
    .correlate(agents)
    .scalar_subquery()
)
_STATUS: Final = case(
    (agents.c.active.is_(False), AgentStatus.STOPPED.value),
    (_has_job_in(*sorted(UNPAUSED_STATES)), AgentStatus.RUNNING.value),
    (_has_job_in(JobState.PAUSED), AgentStatus.PAUSED.value),
    (_NEWEST.in_(sorted(FAILED_STATES)), AgentStatus.ERROR.value),
    else_=AgentStatus.IDLE.value,
)
_LIVE: Final = select(*_FIELDS, _STATUS.label("status")).where(_ALIVE)


class UserAgentRepository:
    """The agents of users. Every method raises `Unavailable` if the database does not answer."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, agent: UserAgent, *, most: int) -> None:
        """Insert an agent. Raises `InvalidInput` if its owner already has `most`."""
        row = asdict(agent)

        def write(connection: Connection) -> None:
            add_row(connection, agents, row, _ALIVE, most=most, kind="agents", remedy="delete one first")

        await self._db.transaction(write, owner=agent.owner)

    async def get(self, owner: str, agent_id: str) -> LiveAgent | None:
        """An agent of an owner with its figures, or None."""
        query = _LIVE.where(agents.c.id == agent_id, agents.c.owner == owner)

        def read(connection: Connection) -> LiveAgent | None:
            row = connection.execute(query).mappings().first()
            return None if row is None else _with_figures(connection, [row])[0]

        return await self._db.autocommit(read)

    async def find(self, owner: str, agent_id: str) -> UserAgent | None:
        """An agent without figures, or None."""
        query = select(*_FIELDS).where(_ALIVE, agents.c.id == agent_id, agents.c.owner == owner)
        row = await self._db.autocommit(lambda connection: connection.execute(query).mappings().first())
        return None if row is None else _agent(row)

    async def list(
        self,
        owner: str,
        *,
        framework: Framework | None,
        status: AgentStatus | None,
        limit: int,
        offset: int,
    ) -> tuple[builtins.list[LiveAgent], int]:
        """One page of an owner's agents with their figures, newest first, and the number of all matches."""
        matching = [_ALIVE, agents.c.owner == owner]
        if framework is not None:
            matching.append(agents.c.framework == framework)
        if status is not None:
            matching.append(_STATUS == status.value)  # noqa: SIM300 - a column comes first
        count = select(func.count()).select_from(agents).where(*matching)
        newest = (agents.c.created_at.desc(), agents.c.id.desc())
        page = _LIVE.where(*matching).order_by(*newest).limit(limit).offset(offset)

        def read(connection: Connection) -> tuple[builtins.list[LiveAgent], int]:
            rows = connection.execute(page).mappings().all()
            return _with_figures(connection, rows), connection.execute(count).scalar_one()

        return await self._db.autocommit(read)

    async def change(self, owner: str, agent_id: str, **values: Any) -> bool:
        """Change columns of an agent. False if there is no such agent."""
        change = update(agents).where(_ALIVE, agents.c.id == agent_id, agents.c.owner == owner).values(**values)
        return await self._db.autocommit(lambda connection: connection.execute(change).rowcount > 0)

    async def delete(self, owner: str, agent_id: str, *, at: datetime) -> bool:
        """Delete an agent, which hides its executions. False if there is no such agent."""
        return await self.change(owner, agent_id, deleted_at=at)


def _with_figures(connection: Connection, rows: Sequence[RowMapping]) -> list[LiveAgent]:
    is_completed = jobs.c.state.in_(sorted(SUCCEEDED_STATES))
    query = (
        select(
            agents.c.id,
            func.count().label("total"),
            func.count(case((is_completed, 1))).label("successful"),
            func.avg(case((is_completed, Seconds(jobs.c.started_at, jobs.c.closed_at)))).label("mean_seconds"),
            func.max(jobs.c.created_at).label("last_at"),
        )
        .join_from(agents, jobs, _IS_EXECUTION)
        .where(agents.c.id.in_([row["id"] for row in rows]))
        .group_by(agents.c.id)
    )
    figures = {sums["id"]: _figures(sums) for sums in connection.execute(query).mappings()} if rows else {}
    return [LiveAgent(_agent(row), AgentStatus(row["status"]), figures.get(row["id"], AgentFigures())) for row in rows]


def _figures(row: RowMapping) -> AgentFigures:
    mean = row["mean_seconds"]
    return AgentFigures(row["total"], row["successful"], None if mean is None else float(mean), row["last_at"])


def _agent(row: RowMapping) -> UserAgent:
    columns = {name: row[name] for name in UserAgent.__dataclass_fields__}
    return UserAgent(**columns | {"framework": Framework(columns["framework"])})
