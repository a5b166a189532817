"""Rows of jobs that retry other jobs (decision 0020)."""

from typing import Any, Final

from sqlalchemy import Connection, bindparam, select

from orchestrator.domain.commands import JobInput
from orchestrator.domain.errors import WrongState
from orchestrator.domain.jobs import OPEN_STATES, SUCCEEDED_STATES
from orchestrator.storage.database import Database
from orchestrator.storage.tables import jobs

_RETRIED_BY: Final = (
    select(jobs.c.retry_of, jobs.c.id)
    .where(jobs.c.retry_of.in_(bindparam("these_jobs", expanding=True)))
    .order_by(jobs.c.created_at, jobs.c.id)
)
_OPEN_OR_COMPLETED: Final = (
    select(jobs.c.id, jobs.c.state)
    .where(jobs.c.retry_root == bindparam("this_root"), jobs.c.state.in_(sorted(OPEN_STATES | SUCCEEDED_STATES)))
    .order_by(jobs.c.created_at.desc())
    .limit(1)
)


class RetriedJobs:
    """The retries in the job index. Every method raises `Unavailable` if the database does not answer."""

    _db: Database

    async def retried_by(self, *job_ids: str) -> dict[str, list[str]]:
        """The retries of each of these jobs, oldest first. Jobs without a retry are left out."""
        rows = await self._db.autocommit(
            lambda connection: connection.execute(_RETRIED_BY, {"these_jobs": list(job_ids)}).all()
        )
        retries: dict[str, list[str]] = {}
        for row in rows:
            retries.setdefault(row.retry_of, []).append(row.id)
        return retries

    async def check_not_retried(self, retry: JobInput) -> None:
        """Raise `WrongState` if another retry of the same job is open or has completed."""
        columns = retry_columns(retry)
        await self._db.autocommit(lambda connection: check_not_retried(connection, columns))


def retry_columns(job: JobInput) -> dict[str, Any]:
    """The columns of a retry. Rows of other jobs have them too, so that one statement inserts all rows."""
    retry = job.retry
    if retry is None:
        return {"retry_of": None, "retry_root": None, "reused_calls": 0}
    # The calls that code reuses are known only when it makes them.
    reused, planned = 0 if job.code else len(retry.calls), job.plan.known_calls
    progress = min(99, 100 * reused // planned) if planned else 0
    return {"retry_of": retry.of, "retry_root": retry.root, "reused_calls": reused, "progress": progress}


def check_not_retried(connection: Connection, row: dict[str, Any]) -> None:
    """Raise `WrongState` if another retry of the same job is open or has completed."""
    retry = connection.execute(_OPEN_OR_COMPLETED, {"this_root": row["retry_root"]}).first()
    if retry is None:
        return
    outcome = "has completed" if retry.state.succeeded else "is not finished"
    message = f"Job {row['retry_of']} was retried already: {retry.id} {outcome}"
    raise WrongState(message, job_id=row["retry_of"], state=str(retry.state), retried_by=retry.id)
