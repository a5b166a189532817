"""What agents' calls came to, by agent and step: begun, completed, lost (S-013, S-016)."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import case, distinct, func, select

from orchestrator.domain.jobs import AttemptStatus
from orchestrator.storage.database import Database
from orchestrator.storage.tables import attempts

# Nobody knows what became of these: the worker was gone, or did not answer in time.
_LOST: Final = attempts.c.status.in_([AttemptStatus.TIMED_OUT, AttemptStatus.UNKNOWN])
_COMPLETED: Final = attempts.c.status == AttemptStatus.COMPLETED


@dataclass(frozen=True, slots=True)
class Work:
    """The calls of one agent in one step of any jobs, and their attempts, begun in a stretch of time."""

    agent: str
    step: str
    calls: int
    completed: int
    attempts: int
    lost: int


class WorkRepository:
    """Reads the attempts that began lately."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def begun(self, agents: Collection[str], *, since: datetime) -> list[Work]:
        """What these agents began since a time. Raises `Unavailable`."""
        job = attempts.c.job_id  # One call of a job is one agent in one step.
        wanted = (
            select(
                attempts.c.agent,
                attempts.c.step,
                func.count(distinct(job)).label("calls"),
                func.count(distinct(case((_COMPLETED, job)))).label("completed"),
                func.count().label("attempts"),
                func.count(case((_LOST, 1))).label("lost"),
            )
            .where(attempts.c.agent.in_(sorted(agents)), attempts.c.started_at >= since)
            .group_by(attempts.c.agent, attempts.c.step)
        )
        return await self._db.autocommit(
            lambda connection: [Work(**found) for found in connection.execute(wanted).mappings()]
        )
