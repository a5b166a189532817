"""The cost of ended jobs: written at their end, so that a list by cost reads the entries of one index."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Select, bindparam, exists, false, func, literal, select, tuple_, union_all

from orchestrator.domain.jobs import OPEN_STATES, JobState
from orchestrator.domain.pages import MOST_COUNTED, CostPosition
from orchestrator.storage.labels import job_labels, label_of
from orchestrator.storage.lists import Filter, matching_ids, row_has
from orchestrator.storage.tables import attempts, jobs

COST: Final = (
    select(func.sum(attempts.c.cost))
    .where(attempts.c.job_id == bindparam("this_job"), attempts.c.prompt_tokens.is_not(None))
    .scalar_subquery()
)
"""The cost of the job `this_job` so far; null if no attempt has one."""

_ENDED: Final = set(JobState) - OPEN_STATES
_FEW_LABELLED: Final = 30_000
_ORDER: Final = (jobs.c.cost.desc(), jobs.c.id.desc())


def few(job_filter: Filter) -> int:
    """How many jobs of this filter are read and sorted. Labels have no index of costs: a walk looks for each job's."""
    return _FEW_LABELLED if job_filter.labels else MOST_COUNTED


def counted(job_filter: Filter, most: int) -> Select[Any]:
    """The number of matching jobs, exact below `most`."""
    return select(func.count()).select_from(_ids(job_filter, most).subquery())


def dearest(
    columns: Sequence[Column[Any]], job_filter: Filter, limit: int, after: CostPosition | None, *, are_few: bool
) -> Select[Any]:
    """The most expensive ended jobs. Reasons and attention do not filter: they are of open and failed jobs.

    Few matching jobs are read and sorted. Of many, the first ones are found in an index of costs.
    """
    conditions: list[ColumnElement[bool]] = [jobs.c.cost.is_not(None)]
    if after is not None:
        start = tuple_(literal(after.cost, jobs.c.cost.type), literal(after.id, jobs.c.id.type))
        conditions.append(tuple_(jobs.c.cost, jobs.c.id) < start)
    if are_few:
        candidates = _ids(job_filter, few(job_filter)).subquery()
        matching = select(jobs.c.id, jobs.c.cost).join(candidates, candidates.c.id == jobs.c.id).where(*conditions)
        entries = matching.subquery()
    else:
        ids = select(jobs.c.id, jobs.c.cost).where(*conditions, *_walked(job_filter))
        of_states = [ids.where(jobs.c.state == state) for state in _ended(job_filter)] or [ids.where(false())]
        scans = [select(part.order_by(*_ORDER).limit(limit).subquery()) for part in of_states]
        entries = union_all(*scans).subquery()
    page = select(entries).order_by(entries.c.cost.desc(), entries.c.id.desc()).limit(limit).subquery()
    rows = select(*columns).select_from(page).join(jobs, jobs.c.id == page.c.id)
    return rows.order_by(page.c.cost.desc(), page.c.id.desc())


def _walked(job_filter: Filter) -> list[ColumnElement[bool]]:
    """The conditions of a walk along the costs of a state: by the index of the definition, else of the owner."""
    first = "definition" if job_filter.definition is not None else "owner"
    conditions = [
        jobs.c[name] == value if name == first else row_has(name, [value]) for name, value in job_filter.equal().items()
    ]
    conditions += replace(job_filter, labels={}).bounds()
    return [*conditions, *(_has(*label) for label in job_filter.labels.items())]


def _ids(job_filter: Filter, most: int) -> Select[Any]:
    return matching_ids(replace(job_filter, reasons=None, attention=False), most)


def _ended(job_filter: Filter) -> list[JobState]:
    """The states that have costs, those of the filter."""
    return sorted(_ENDED if job_filter.states is None else _ENDED & set(job_filter.states))


def _has(name: str, value: str) -> ColumnElement[bool]:
    """Whether the job at this place of a walk has a label: one search, whatever the number of jobs with it."""
    entry = job_labels.c
    return exists().where(
        entry.label == label_of(name, value), entry.created_at == jobs.c.created_at, entry.job_id == jobs.c.id
    )
