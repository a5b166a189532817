"""What open jobs still need of a worker: their workflow's class, and the agents of their plans."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select

from orchestrator.domain.jobs import OPEN_STATES
from orchestrator.storage.database import Database
from orchestrator.storage.tables import jobs

_OPEN: Final = (
    select(jobs.c.id, jobs.c.definition, jobs.c.job_input)
    .where(jobs.c.state.in_(sorted(OPEN_STATES)))
    .order_by(jobs.c.created_at, jobs.c.id)
)


@dataclass(frozen=True, slots=True)
class JobRequirements:
    """Of an open job: its workflow, whether that is a class, and the agents that its plan names, by task queue.

    The queue of calls that stay with their workflow is None.
    """

    id: str
    definition: str
    code: bool
    agents: frozenset[tuple[str | None, str]]


class RequirementsRepository:
    """Reads them from the index."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def oldest(self, limit: int) -> list[JobRequirements]:
        """The oldest ones. Raises `Unavailable`."""
        query = _OPEN.limit(limit)
        found = await self._db.autocommit(lambda connection: connection.execute(query).all())
        return [_requirements(id, definition, job_input) for id, definition, job_input in found]


def _requirements(id: str, definition: str, job_input: dict[str, Any]) -> JobRequirements:
    # A huge plan is kept beside its job: then only its beginning is here.
    steps = (job_input.get("plan") or {}).get("steps") or ()
    agents = frozenset((step.get("task_queue"), agent) for step in steps for agent in step["agents"])
    return JobRequirements(id, definition, bool(job_input.get("code")), agents)
