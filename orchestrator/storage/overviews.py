"""Counts of jobs by state, and the usage of many jobs: what an overview shows beside a page of a list."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, func, select

from orchestrator.domain.jobs import NEEDS_ATTENTION, OPEN_STATES, JobState, ReasonCode
from orchestrator.domain.pages import MOST_COUNTED, CostPosition
from orchestrator.domain.usage import Usage
from orchestrator.storage.costs import counted, dearest
from orchestrator.storage.database import Database
from orchestrator.storage.jobs import ROW, JobRow, row_of
from orchestrator.storage.lists import Filter, state_counts
from orchestrator.storage.moments import Seconds
from orchestrator.storage.tables import attempts, jobs

_STATES: Final = {str(state): state for state in JobState}

_OPEN_JOBS: Final = (
    select(jobs.c.state, func.count()).where(jobs.c.state.in_(sorted(OPEN_STATES))).group_by(jobs.c.state)
)
_MARK: Final = select(
    select(func.max(jobs.c.created_at)).scalar_subquery(),
    select(func.max(jobs.c.closed_at)).where(jobs.c.closed_at.is_not(None)).scalar_subquery(),
    select(func.count()).where(jobs.c.reason_code.in_(sorted(NEEDS_ATTENTION))).scalar_subquery(),
)


@dataclass(frozen=True, slots=True)
class OwnerWait:
    """Seconds that an owner's recent jobs waited for a worker, and how many `queued` jobs wait now."""

    owner: str
    begun: int
    mean: float | None
    longest: float | None
    queued: int


@dataclass(frozen=True, slots=True)
class IndexMark:
    """What changes with the jobs of the index: the newest start and end, and the numbers of open and waiting jobs."""

    newest_start: datetime | None
    newest_end: datetime | None
    open: tuple[tuple[JobState, int], ...]
    waiting: int


class OverviewRepository:
    """Reads overviews. Every method raises `Unavailable` if the database does not answer."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def states(self, job_filter: Filter) -> dict[JobState, int]:
        """The exact number of matching jobs in each state. The states of the filter are ignored."""
        statements = state_counts(job_filter)

        def read(connection: Connection) -> Counter[JobState]:
            counts: Counter[JobState] = Counter()
            for statement in statements:
                for word, number in connection.execute(statement):
                    counts[_STATES[word]] += number
            return +counts

        return dict(await self._db.autocommit(read))

    async def dearest(self, job_filter: Filter, *, limit: int, after: CostPosition | None = None) -> list[JobRow]:
        """The most expensive matching jobs that have ended and whose cost is known."""

        def read(connection: Connection) -> list[JobRow]:
            # The rows of a label have costs.
            are_few = not job_filter.labelled and connection.execute(counted(job_filter)).scalar_one() < MOST_COUNTED
            statement = dearest(ROW, job_filter, limit, after, are_few=are_few)
            return list(map(row_of, connection.execute(statement).mappings()))

        return await self._db.autocommit(read)

    async def rows(self, job_ids: Sequence[str]) -> list[JobRow]:
        """The rows of these jobs, in no order. Unknown jobs are left out."""
        query = select(*ROW).where(jobs.c.id.in_(job_ids))
        return await self._db.autocommit(lambda connection: list(map(row_of, connection.execute(query).mappings())))

    async def mark(self) -> IndexMark:
        """The mark of all jobs. Each part is read from an index."""

        def read(connection: Connection) -> IndexMark:
            states = sorted((state, number) for state, number in connection.execute(_OPEN_JOBS))
            start, end, waiting = connection.execute(_MARK).one()
            return IndexMark(start, end, tuple(states), waiting)

        return await self._db.autocommit(read)

    async def waits(self, since: datetime) -> list[OwnerWait]:
        """How long the jobs that began since a time waited for a worker, and how many wait now, by owner."""
        wait = Seconds(jobs.c.created_at, jobs.c.started_at)
        starts = (
            select(jobs.c.owner, func.count(), func.avg(wait), func.max(wait))
            .where(jobs.c.created_at >= since, jobs.c.started_at.is_not(None))
            .group_by(jobs.c.owner)
        )
        is_due = jobs.c.reason_code.is_(None) | (jobs.c.reason_code != ReasonCode.SCHEDULED)
        waiting = (
            select(jobs.c.owner, func.count()).where(jobs.c.state == JobState.PENDING, is_due).group_by(jobs.c.owner)
        )

        def read(connection: Connection) -> list[OwnerWait]:
            queued: dict[str, int] = {row[0]: row[1] for row in connection.execute(waiting)}
            rows = [
                OwnerWait(owner, number, mean, longest, queued.pop(owner, 0))
                for owner, number, mean, longest in connection.execute(starts)
            ]
            rows += [OwnerWait(owner, 0, None, None, number) for owner, number in queued.items()]
            return sorted(rows, key=lambda row: (-row.queued, -(row.longest or 0.0), row.owner))

        return await self._db.autocommit(read)

    async def usage(self, job_ids: Sequence[str]) -> dict[str, Usage]:
        """The usage of each of these jobs, its attempts together. Jobs without an ended attempt are left out."""
        if not job_ids:
            return {}
        query = (
            select(
                attempts.c.job_id,
                func.coalesce(func.sum(attempts.c.prompt_tokens), 0).label("prompt_tokens"),
                func.coalesce(func.sum(attempts.c.completion_tokens), 0).label("completion_tokens"),
                func.sum(attempts.c.cost).label("cost"),
                func.sum(attempts.c.provider_cost).label("provider_cost"),
            )
            .where(attempts.c.job_id.in_(job_ids), attempts.c.prompt_tokens.is_not(None))
            .group_by(attempts.c.job_id)
        )

        def read(connection: Connection) -> dict[str, Usage]:
            return {
                row["job_id"]: Usage(**{name: row[name] for name in Usage.model_fields})
                for row in connection.execute(query).mappings()
            }

        return await self._db.autocommit(read)
