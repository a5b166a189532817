"""The cost of ended jobs: written at their end, so that a list by cost reads the entries of one index."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    CompoundSelect,
    Select,
    bindparam,
    false,
    func,
    literal,
    select,
    tuple_,
    union_all,
)

from orchestrator.domain.jobs import OPEN_STATES, JobState
from orchestrator.domain.pages import MOST_COUNTED, CostPosition
from orchestrator.storage.labels import job_labels
from orchestrator.storage.lists import Filter, matching_ids, row_has
from orchestrator.storage.tables import attempts, jobs

COST: Final = (
    select(func.sum(attempts.c.cost))
    .where(attempts.c.job_id == bindparam("this_job"), attempts.c.prompt_tokens.is_not(None))
    .scalar_subquery()
)
"""The cost of the job `this_job` so far; null if no attempt has one."""

_ENDED: Final = set(JobState) - OPEN_STATES


def counted(job_filter: Filter) -> Select[Any]:
    """The number of matching jobs, exact below `MOST_COUNTED`."""
    return select(func.count()).select_from(_ids(job_filter).subquery())


def dearest(
    columns: Sequence[Column[Any]], job_filter: Filter, limit: int, after: CostPosition | None, *, are_few: bool
) -> Select[Any]:
    """The most expensive ended jobs. Reasons and attention do not filter: they are of open and failed jobs.

    Few matching jobs are read and sorted. Of many, the first ones are found in an index of costs.
    """
    if are_few:
        candidates = _ids(job_filter).subquery()
        matching = select(jobs.c.id, jobs.c.cost).join(candidates, candidates.c.id == jobs.c.id)
        entries = matching.where(*_from(after, jobs.c.cost, jobs.c.id)).subquery()
    else:
        entries = _walk(job_filter, limit, after).subquery()
    page = select(entries).order_by(entries.c.cost.desc(), entries.c.id.desc()).limit(limit).subquery()
    rows = select(*columns).select_from(page).join(jobs, jobs.c.id == page.c.id)
    return rows.order_by(page.c.cost.desc(), page.c.id.desc())


def _walk(job_filter: Filter, limit: int, after: CostPosition | None) -> CompoundSelect[Any]:
    """The first matching entries of each state in an index of costs: the label's, else the definition's or owner's."""
    if job_filter.labels:
        entry, id, conditions = job_labels.c, job_labels.c.job_id, job_filter.label_conditions()
    else:
        entry, id, conditions = jobs.c, jobs.c.id, _walked(job_filter)
    ids = select(id.label("id"), entry.cost).where(*_from(after, entry.cost, id), *conditions)
    of_states = [ids.where(entry.state == state) for state in _ended(job_filter)] or [ids.where(false())]
    order = (entry.cost.desc(), id.desc())
    return union_all(*(select(part.order_by(*order).limit(limit).subquery()) for part in of_states))


def _from(after: CostPosition | None, cost: Column[Any], id: Column[Any]) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [cost.is_not(None)]
    if after is not None:
        start = tuple_(literal(after.cost, cost.type), literal(after.id, id.type))
        conditions.append(tuple_(cost, id) < start)
    return conditions


def _walked(job_filter: Filter) -> list[ColumnElement[bool]]:
    """The conditions of a walk along the costs of a state: by the index of the definition, else of the owner."""
    first = "definition" if job_filter.definition is not None else "owner"
    conditions = [
        jobs.c[name] == value if name == first else row_has(name, [value]) for name, value in job_filter.equal().items()
    ]
    return [*conditions, *job_filter.bounds()]


def _ids(job_filter: Filter) -> Select[Any]:
    return matching_ids(replace(job_filter, reasons=None, attention=False), MOST_COUNTED)


def _ended(job_filter: Filter) -> list[JobState]:
    """The states that have costs, those of the filter."""
    return sorted(_ENDED if job_filter.states is None else _ENDED & set(job_filter.states))
