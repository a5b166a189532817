"""What open jobs need from workers: the class of their workflow, and the agents of their plans."""

from collections.abc import Iterable, Iterator
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
    """The workflow of an open job, whether that is a class (`code`), and the agents of its plan by task queue.

    The task queue is None for calls on the queue of the workflow.
    """

    id: str
    definition: str
    code: bool
    agents: frozenset[tuple[str | None, str]]


class RequirementsRepository:
    """Reads the requirements of open jobs from the index."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def oldest(self, limit: int) -> list[JobRequirements]:
        """The requirements of the `limit` oldest open jobs. Raises `Unavailable`."""
        query = _OPEN.limit(limit)
        rows = await self._db.autocommit(lambda connection: connection.execute(query).all())
        return [_requirements(id, definition, job_input) for id, definition, job_input in rows]


def _requirements(id: str, definition: str, job_input: dict[str, Any]) -> JobRequirements:
    # The steps of a huge plan are stored beside the job: then they are missing here.
    steps = (job_input.get("plan") or {}).get("steps") or ()
    return JobRequirements(id, definition, bool(job_input.get("code")), frozenset(_agents(steps)))


def _agents(steps: Iterable[dict[str, Any]]) -> Iterator[tuple[str | None, str]]:
    """The agents of the steps, and of the steps of their groups."""
    for step in steps:
        yield from ((step.get("task_queue"), agent) for agent in step.get("agents") or ())
        yield from _agents(step.get("steps") or ())
