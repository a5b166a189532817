"""The cost of ended jobs: written at their end, so that a list by cost reads the entries of one index."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Column, Select, bindparam, func, literal, select, tuple_

from orchestrator.domain.pages import CostPosition
from orchestrator.storage.labels import has_label
from orchestrator.storage.lists import Filter, row_has
from orchestrator.storage.tables import attempts, jobs

COST: Final = (
    select(func.sum(attempts.c.cost))
    .where(attempts.c.job_id == bindparam("this_job"), attempts.c.prompt_tokens.is_not(None))
    .scalar_subquery()
)
"""The cost of the job `this_job` so far; null if no attempt has one."""


def dearest(columns: Sequence[Column[Any]], job_filter: Filter, limit: int, after: CostPosition | None) -> Select[Any]:
    """The most expensive ended jobs. Reasons and attention do not filter: they are of open and failed jobs."""
    conditions = [jobs.c.cost.is_not(None), *replace(job_filter, owner=None, labels={}).row_conditions()]
    if job_filter.owner is not None:
        conditions.append(jobs.c.owner == job_filter.owner)
    if job_filter.states is not None:
        conditions.append(row_has("state", set(job_filter.states)))
    if after is not None:
        start = tuple_(literal(after.cost, jobs.c.cost.type), literal(after.id, jobs.c.id.type))
        conditions.append(tuple_(jobs.c.cost, jobs.c.id) < start)
    conditions += [has_label(name, value) for name, value in job_filter.labels.items()]
    ids = select(jobs.c.id, jobs.c.cost).where(*conditions).order_by(jobs.c.cost.desc(), jobs.c.id.desc()).limit(limit)
    page = ids.subquery()
    rows = select(*columns).select_from(page).join(jobs, jobs.c.id == page.c.id)
    return rows.order_by(page.c.cost.desc(), page.c.id.desc())
