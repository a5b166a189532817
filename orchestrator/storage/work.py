"""Counts of agent calls by agent and step: begun, completed, lost (S-013, S-016); and of requests to providers."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import String, case, cast, distinct, func, or_, select

from orchestrator.domain.jobs import AttemptStatus
from orchestrator.domain.names import OFFLINE_MODEL
from orchestrator.storage.database import Database
from orchestrator.storage.tables import attempts

# The outcome of these is not known: the worker was lost, or did not answer in time.
_LOST: Final = attempts.c.status.in_([AttemptStatus.TIMED_OUT, AttemptStatus.UNKNOWN])
_COMPLETED: Final = attempts.c.status == AttemptStatus.COMPLETED
_ANSWERED: Final = _COMPLETED & (attempts.c.model != OFFLINE_MODEL) & ~attempts.c.model.startswith("function/")
_FAULT: Final = attempts.c.error["type"].as_string()
_REFUSED: Final = or_(_FAULT.startswith("provider_", autoescape=True), _FAULT == "quota_exhausted")


@dataclass(frozen=True, slots=True)
class Work:
    """The calls of one agent in one step, over all jobs, and their attempts, that began in a window."""

    agent: str
    step: str
    calls: int
    completed: int
    attempts: int
    lost: int


@dataclass(frozen=True, slots=True)
class ProviderOutcomes:
    """Attempts that called the provider of a model: answered ones, and those that failed by a fault of the provider."""

    answered: int
    failed: int


class WorkRepository:
    """Reads counts of recent attempts."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def calls_since(self, agents: Collection[str], *, since: datetime, owner: str | None) -> list[Work]:
        """The calls of these agents since a time, for one owner or for all (None). Raises `Unavailable`."""
        call = attempts.c.job_id + "#" + attempts.c.run_id + "#" + cast(attempts.c.call, String)
        query = (
            select(
                attempts.c.agent,
                attempts.c.step,
                func.count(distinct(call)).label("calls"),
                func.count(distinct(case((_COMPLETED, call)))).label("completed"),
                func.count().label("attempts"),
                func.count(case((_LOST, 1))).label("lost"),
            )
            .where(attempts.c.agent.in_(sorted(agents)), attempts.c.started_at >= since)
            .group_by(attempts.c.agent, attempts.c.step)
        )
        if owner is not None:
            query = query.where(attempts.c.owner == owner)
        return await self._db.autocommit(
            lambda connection: [Work(**row) for row in connection.execute(query).mappings()]
        )

    async def provider_outcomes(self, *, since: datetime) -> ProviderOutcomes:
        """The outcomes of provider requests in attempts that ended since a time. Raises `Unavailable`."""
        query = select(func.count(case((_ANSWERED, 1))), func.count(case((_REFUSED, 1)))).where(
            attempts.c.completed_at >= since
        )
        return await self._db.autocommit(lambda connection: ProviderOutcomes(*connection.execute(query).one()))
