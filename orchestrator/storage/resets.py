"""Rows of ended jobs that run again: reset in Temporal, or started there again under the same id."""

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
# Without `reopened_at`: webhooks were notified of the end that is cleared here.
_CLEAR_END: Final = dict.fromkeys(("closed_at", "error", "result", "snapshot", "events", "checked_history"))


class ResetRepository:
    """Updates the index after resets. Every method raises `Unavailable` if the database does not answer."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def last_runs(self, job_ids: Sequence[str]) -> dict[str, str]:
        """The last run of those of these jobs that have ended in the index."""
        runs: dict[str, str] = {}
        for first in range(0, len(job_ids), _BATCH):
            in_batch = jobs.c.id.in_(job_ids[first : first + _BATCH])
            query = select(jobs.c.id, jobs.c.run_id).where(in_batch, _ENDED, jobs.c.run_id.is_not(None))
            runs |= await self._db.autocommit(partial(_pairs, query))
        return runs

    async def reopen(self, job_id: str, *, run_id: str, began_at: datetime) -> bool:
        """Record that an ended job runs again since a time. False if the row was reopened later than that."""
        newer = jobs.c.reopened_at.is_(None) | (jobs.c.reopened_at < began_at)
        return await self._reopen(job_id, newer, run_id, began_at)

    async def doubt(self, job_id: str, *, run_id: str) -> bool:
        """Reopen an ended job because another run of it has ended: the reconciler reads the history of that run.

        False if the row has this run already.
        """
        reopened_at = func.coalesce(jobs.c.reopened_at, jobs.c.created_at)
        return await self._reopen(job_id, jobs.c.run_id != run_id, run_id, reopened_at)

    async def _reopen(self, job_id: str, condition: Any, run_id: str, reopened_at: Any) -> bool:
        values = {**_CLEAR_END, "state": JobState.RUNNING, "run_id": run_id, "reopened_at": reopened_at}
        change = update(jobs).where(jobs.c.id == job_id, _ENDED, condition).values(values)
        return await self._db.autocommit(lambda connection: connection.execute(change).rowcount > 0)


def _pairs(query: Select[tuple[str, str]], connection: Connection) -> dict[str, str]:
    return {row.id: row.run_id for row in connection.execute(query)}
