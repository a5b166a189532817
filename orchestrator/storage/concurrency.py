"""The limit of an owner's concurrent jobs, checked in the transaction that accepts a job."""

from typing import Final

from sqlalchemy import Connection, bindparam, func, select

from orchestrator.domain.errors import LimitExceeded
from orchestrator.domain.jobs import OPEN_STATES
from orchestrator.storage.tables import jobs

_NAMED_JOBS: Final = 5  # How many open jobs a refusal names.
_SLOT_RETRY_AFTER: Final = 5.0  # Seconds.
_OF_OWNER: Final = (jobs.c.owner == bindparam("this_owner"), jobs.c.state.in_(sorted(OPEN_STATES)))
_OPEN_COUNT: Final = select(func.count()).select_from(jobs).where(*_OF_OWNER)
_OPEN_OF_OWNER: Final = select(jobs.c.id).where(*_OF_OWNER).limit(_NAMED_JOBS)


def check_slot(connection: Connection, owner: str, limit: int) -> None:
    """Raise `LimitExceeded` if the owner runs as many jobs as its limit allows. It names some of them."""
    parameters = {"this_owner": owner}
    running = connection.execute(_OPEN_COUNT, parameters).scalar_one()
    if running < limit:
        return
    raise LimitExceeded(
        f"{running} of {limit} concurrent jobs are running. Retry after {_SLOT_RETRY_AFTER:g} seconds.",
        limit="concurrent_jobs",
        retry_after=_SLOT_RETRY_AFTER,
        allowed=limit,
        used=running,
        job_ids=list(connection.execute(_OPEN_OF_OWNER, parameters).scalars()),
    )
