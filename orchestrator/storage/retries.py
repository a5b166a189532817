"""Rows of jobs that are to finish other jobs (decision 0020)."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select

from orchestrator.domain.commands import JobInput
from orchestrator.domain.errors import WrongState
from orchestrator.domain.jobs import OPEN_STATES, SUCCEEDED_STATES
from orchestrator.storage.tables import jobs

_RETRIED_BY: Final = (
    select(jobs.c.retry_of, jobs.c.id)
    .where(jobs.c.retry_of.in_(bindparam("these_jobs", expanding=True)))
    .order_by(jobs.c.created_at, jobs.c.id)
)
_DOES_IT: Final = (
    select(jobs.c.id, jobs.c.state)
    .where(jobs.c.retry_root == bindparam("this_root"), jobs.c.state.in_(sorted(OPEN_STATES | SUCCEEDED_STATES)))
    .order_by(jobs.c.created_at.desc())
    .limit(1)
)


def retried_by(connection: Connection, job_ids: Sequence[str]) -> dict[str, list[str]]:
    """The jobs that were started to finish each of these, oldest first; a job that was not retried is left out."""
    found: dict[str, list[str]] = {}
    for row in connection.execute(_RETRIED_BY, {"these_jobs": list(job_ids)}):
        found.setdefault(row.retry_of, []).append(row.id)
    return found


def taken_over(job: JobInput) -> dict[str, Any]:
    """The columns of what a retry takes over; every row has them, so that one statement inserts them all."""
    retry = job.retry
    if retry is None:
        return {"retry_of": None, "retry_root": None, "reused_calls": 0}
    # What code takes over is known once it asks for it.
    reused, planned = 0 if job.code else len(retry.calls), len(job.plan.calls())
    progress = min(99, 100 * reused // max(1, planned))
    return {"retry_of": retry.of, "retry_root": retry.root, "reused_calls": reused, "progress": progress}


def check_not_made_good(connection: Connection, row: dict[str, Any]) -> None:
    """Raise `WrongState` for a retry of what another job of the line does now, or has done."""
    found = connection.execute(_DOES_IT, {"this_root": row["retry_root"]}).first()
    if found is None:
        return
    did = "has finished it" if found.state.succeeded else "is at it"
    message = f"Job {row['retry_of']} was retried already: {found.id} {did}"
    raise WrongState(message, job_id=row["retry_of"], state=str(found.state), retried_by=found.id)
