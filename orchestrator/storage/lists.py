"""Pages of jobs, newest first, and exact counts, both out of an index: documents are never read or sorted.

The rows of a page are found in the index first, one walk for each state, and only those rows are read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, false, func, select, union_all

from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import JobState
from orchestrator.storage.tables import jobs


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs a list shows. None does not filter."""

    owner: str | None = None
    states: Sequence[JobState] | None = None
    kind: JobKind | None = None
    definition: str | None = None
    subject: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """All but the states."""
        columns = {"owner": self.owner, "kind": self.kind, "definition": self.definition, "subject": self.subject}
        return [jobs.c[name] == value for name, value in columns.items() if value is not None]


def job_page(
    columns: Sequence[Column[Any]], chosen: Filter, *, limit: int, offset: int
) -> tuple[Select[Any], Select[Any]]:
    """The statements for one page, each row with the `total` of all jobs that match, and for that number alone."""
    matching = chosen.conditions()
    ids = newest_ids(select(jobs.c.id, jobs.c.created_at).where(*matching), chosen.states, limit + offset)
    counted = matching if chosen.states is None else [*matching, jobs.c.state.in_(list(chosen.states))]
    total = select(func.count()).select_from(jobs).where(*counted)
    rows = select(*columns, total.scalar_subquery().label("total"))
    return page_of(rows, ids, limit=limit, offset=offset), total


def newest_ids(matching: Select[Any], states: Sequence[JobState] | None, most: int) -> Select[Any]:
    """The newest of the jobs that match and are in one of the states.

    One walk for each state: a walk over several states at once would have to sort all that match.
    """
    newest = matching.order_by(jobs.c.created_at.desc(), jobs.c.id.desc()).limit(most)
    if states is None:
        return newest
    if not states:
        return newest.where(false())
    walks = [select(newest.where(jobs.c.state == state).subquery()) for state in states]
    return walks[0] if len(walks) == 1 else select(union_all(*walks).subquery())


def page_of(rows: Select[Any], ids: Select[Any], *, limit: int, offset: int) -> Select[Any]:
    """The rows of jobs on one page of those ids, newest first."""
    found = ids.subquery()
    order = (found.c.created_at.desc(), found.c.id.desc())
    page = select(found).order_by(*order).limit(limit).offset(offset).subquery()
    return (
        rows.select_from(page).join(jobs, jobs.c.id == page.c.id).order_by(page.c.created_at.desc(), page.c.id.desc())
    )
