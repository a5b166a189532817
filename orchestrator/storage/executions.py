"""The jobs that are executions of users' agents: listed and summed up for their owner (O-020, O-042)."""

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

_TOLD: Final = ("id", "state", "progress", "job_input", "snapshot", "result", "created_at", "started_at", "closed_at")
_COLUMNS: Final = (*(jobs.c[name] for name in _TOLD), jobs.c.error)
_ITS_AGENT: Final = (agents.c.id == jobs.c.subject) & (agents.c.owner == jobs.c.owner) & agents.c.deleted_at.is_(None)


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
        """One page of an owner's executions, newest first, and the number of all that match.

        An open one is told without its calls. One that has ended and has no run id is not written to its end yet.
        """
        matching: builtins.list[ColumnElement[bool]] = []
        if agent_id is not None:
            matching.append(jobs.c.subject == agent_id)
        ids = newest_ids(_of(owner).add_columns(jobs.c.id, jobs.c.created_at).where(*matching), states, limit + offset)
        page = page_of(select(*_COLUMNS), ids, limit=limit, offset=offset)
        if states is not None:
            matching.append(jobs.c.state.in_(list(states)))
        count = _of(owner).add_columns(func.count()).where(*matching)

        def read(connection: Connection) -> tuple[builtins.list[Job], int]:
            rows = [_job(found) for found in connection.execute(page).mappings()]
            return rows, connection.execute(count).scalar_one()

        return await self._db.autocommit(read)

    async def open(self, owner: str, agent_id: str) -> builtins.list[str]:
        """The ids of an agent's executions that have not ended; also of a deleted one's."""
        its = (jobs.c.subject == agent_id) & (jobs.c.owner == owner) & jobs.c.definition.in_(EXECUTING)
        wanted = select(jobs.c.id).where(its, jobs.c.state.in_(OPEN_STATES))
        return await self._db.autocommit(lambda connection: list(connection.execute(wanted).scalars()))

    async def dashboard(self, owner: str, *, before: datetime, since: datetime, until: datetime) -> Dashboard:
        """What began from `since` to `until`, how much from `before` to `since`, and what the owner has."""
        tallies = _tallies(owner, since, until)
        earlier = _of(owner).add_columns(func.count()).where(jobs.c.created_at >= before, jobs.c.created_at < since)

        def read(connection: Connection) -> Dashboard:
            return Dashboard(
                since=since,
                until=until,
                tallies=_summed(connection.execute(tallies).mappings()),
                executions_before=connection.execute(earlier).scalar_one(),
                estate=_estate(connection, owner, since),
            )

        return await self._db.autocommit(read)


def _of(owner: str) -> Select[Any]:
    mine = (jobs.c.owner == owner) & jobs.c.definition.in_(EXECUTING) & jobs.c.subject.is_not(None)
    return select().select_from(jobs.join(agents, _ITS_AGENT)).where(mine)


def _tallies(owner: str, since: datetime, until: datetime) -> Select[Any]:
    used = (
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
    done = jobs.c.state.in_(sorted(SUCCEEDED_STATES))
    return (
        select(
            day.label("day"),
            agents.c.framework,
            jobs.c.state,
            func.count().label("total"),
            func.sum(case((done, Seconds(jobs.c.started_at, jobs.c.closed_at)))).label("seconds"),
            func.sum(used.c.tokens).label("tokens"),
            func.sum(used.c.cost).label("cost"),
        )
        .select_from(jobs.join(agents, _ITS_AGENT).outerjoin(used, used.c.job_id == jobs.c.id))
        .where(jobs.c.owner == owner, jobs.c.definition.in_(EXECUTING))
        .where(jobs.c.created_at >= since, jobs.c.created_at < until)
        .group_by(day, agents.c.framework, jobs.c.state)
    )


def _summed(found: Any) -> list[ExecutionTally]:
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
        for row in found
    ]


def _estate(connection: Connection, owner: str, since: datetime) -> Estate:
    own = agents.c.owner == owner
    alive, was = agents.c.deleted_at.is_(None), agents.c.created_at < since
    had = was & (agents.c.deleted_at.is_(None) | (agents.c.deleted_at >= since))
    active = select(func.count(case((alive & agents.c.active, 1))), func.count(case((had & agents.c.active, 1)))).where(
        own
    )
    frameworks = select(agents.c.framework, func.count(case((alive, 1))), func.count(case((had, 1)))).where(own)
    saved = select(func.count(), func.count(case((configurations.c.created_at < since, 1)))).where(
        configurations.c.owner == owner
    )
    now, earlier = connection.execute(active).one()
    by_framework = connection.execute(frameworks.group_by(agents.c.framework)).all()
    kept, kept_before = connection.execute(saved).one()
    return Estate(
        active_agents=now,
        active_agents_before=earlier,
        agents_by_framework={Framework(name): number for name, number, _ in by_framework if number},
        frameworks_before=sum(1 for _, _, number in by_framework if number),
        configurations=kept,
        configurations_before=kept_before,
    )


def _job(found: RowMapping) -> Job:
    if found["snapshot"] is not None:
        return Job.model_validate({"result": found["result"], **found["snapshot"]})
    return JobInput.model_validate(found["job_input"]).job(
        state=found["state"],
        progress=found["progress"],
        created_at=found["created_at"],
        stored=list(stored_in(found["job_input"])),
        error=None if found["error"] is None else JobError.model_validate(found["error"]),
        started_at=found["started_at"],
        closed_at=found["closed_at"],
    )
