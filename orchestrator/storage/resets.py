"""Rows of jobs that had ended and go on: reset in Temporal, or started again there under the same id."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, Select, func, select, update

from orchestrator.domain.jobs import OPEN_STATES, JobState
from orchestrator.storage.database import Database
from orchestrator.storage.tables import jobs

_BATCH: Final = 500  # ids in one query
_ENDED: Final = jobs.c.state.not_in(sorted(OPEN_STATES))
# `reopened_at` stays: webhooks were told of the end that is forgotten here.
_FORGET_END: Final = dict.fromkeys(("closed_at", "error", "result", "snapshot", "events", "checked_history"))


class ResetRepository:
    """What resets do to the index. Every method raises `Unavailable` when the database does not answer."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def last_runs(self, job_ids: Sequence[str]) -> dict[str, str]:
        """The last run of each of these jobs that the index holds as ended."""
        runs: dict[str, str] = {}
        for first in range(0, len(job_ids), _BATCH):
            these = jobs.c.id.in_(job_ids[first : first + _BATCH])
            wanted = select(jobs.c.id, jobs.c.run_id).where(these, _ENDED, jobs.c.run_id.is_not(None))
            runs |= await self._db.autocommit(partial(_pairs, wanted))
        return runs

    async def reopen(self, job_id: str, *, run_id: str, began_at: datetime) -> bool:
        """Note that an ended job goes on in a course that began at a time; False if the row tells of a later one."""
        newer = jobs.c.reopened_at.is_(None) | (jobs.c.reopened_at < began_at)
        return await self._reopen(job_id, newer, run_id, began_at)

    async def doubt(self, job_id: str, *, run_id: str) -> bool:
        """Note that another run than the row's has ended, too: the history says how. False if it is the row's run."""
        reopened_at = func.coalesce(jobs.c.reopened_at, jobs.c.created_at)
        return await self._reopen(job_id, jobs.c.run_id != run_id, run_id, reopened_at)

    async def _reopen(self, job_id: str, condition: Any, run_id: str, reopened_at: Any) -> bool:
        values = {**_FORGET_END, "state": JobState.RUNNING, "run_id": run_id, "reopened_at": reopened_at}
        change = update(jobs).where(jobs.c.id == job_id, _ENDED, condition).values(values)
        return await self._db.autocommit(lambda connection: connection.execute(change).rowcount > 0)


def _pairs(query: Select[tuple[str, str]], connection: Connection) -> dict[str, str]:
    return {row.id: row.run_id for row in connection.execute(query)}
