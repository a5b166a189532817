"""Pages of jobs, newest first, and exact counts, both out of an index: documents are never read or sorted.

The rows of a page are found in the index first, one walk for each state, and only those rows are read.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import add
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Select,
    String,
    TextClause,
    false,
    func,
    select,
    type_coerce,
    union_all,
)

from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import FAILED_STATES, NEEDS_ATTENTION, OPEN_STATES, UNPAUSED_STATES, JobState, ReasonCode
from orchestrator.domain.pages import Position
from orchestrator.storage import keyset
from orchestrator.storage.tables import IS_FAILED, jobs

_Conditions = list[ColumnElement[bool] | TextClause]

# Without a worker an open job waits for one, unless it waits for a person anyway, or no worker could help it.
HELD: Final = frozenset({ReasonCode.CANCELLING, ReasonCode.STUCK, ReasonCode.WAITING_FOR_APPROVAL, ReasonCode.PAUSED})
_LATER: Final = jobs.alias("later")
# Work that failed shows once, as its last job that failed: not where a later one of the line did it, or is to do it.
_RETRIED: Final = (
    select(_LATER.c.retry_root)
    .where(
        _LATER.c.retry_root == func.coalesce(jobs.c.retry_root, jobs.c.id),
        _LATER.c.state != JobState.CANCELLED,
        _LATER.c.created_at > jobs.c.created_at,
    )
    .exists()
)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs a list shows. None does not filter.

    `reasons` are those of open jobs. `attention` is for jobs that need a person: what hangs, and what failed and was
    not done since. Jobs are `unattended` while no worker polls for them.
    """

    owner: str | None = None
    states: Sequence[JobState] | None = None
    kind: JobKind | None = None
    definition: str | None = None
    subject: str | None = None
    reasons: Sequence[ReasonCode] | None = None
    attention: bool = False
    unattended: bool = False
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """All but the states, and why and whether a job needs somebody."""
        return [*(jobs.c[name] == value for name, value in self._equal().items()), *self._created()]

    def beside(self) -> list[ColumnElement[bool]]:
        """The same, looked up in the rows of the index that something else has led to."""
        return [*(_beside(name, [value]) for name, value in self._equal().items()), *self._created()]

    def _created(self) -> list[ColumnElement[bool]]:
        bounds: list[ColumnElement[bool]] = []
        if self.since is not None:
            bounds.append(jobs.c.created_at >= self.since)
        if self.until is not None:
            bounds.append(jobs.c.created_at < self.until)
        return bounds

    def _equal(self) -> dict[str, str]:
        columns = {"owner": self.owner, "kind": self.kind, "definition": self.definition, "subject": self.subject}
        return {name: str(value) for name, value in columns.items() if value is not None}


def _beside(column: str, values: Collection[str]) -> ColumnElement[bool]:
    """Whether a column has one of these values. No index of that column is walked for it."""
    return type_coerce(jobs.c[column], String).concat("").in_([str(value) for value in sorted(values)])


def job_page(
    columns: Sequence[Column[Any]], chosen: Filter, *, limit: int, offset: int, after: Position | None = None
) -> tuple[Select[Any], Select[Any]]:
    """The statements for one page, each row with the `total` of all jobs that match, and for that number alone."""
    matching = chosen.conditions()
    newest, number = select(jobs.c.id, jobs.c.created_at), select(func.count()).select_from(jobs)
    if after is not None:
        newest = newest.where(keyset.after(after, jobs.c.created_at, jobs.c.id, newest_first=True))
    if chosen.reasons is None and not chosen.attention:
        newest, number = newest.where(*matching), number.where(*matching)
        ids = newest_ids(newest, chosen.states, limit + offset)
        total = number if chosen.states is None else number.where(jobs.c.state.in_(list(chosen.states)))
    else:
        parts = _parts(chosen)
        ids = _newest_of([newest.where(*part) for part in parts], limit + offset)
        counts = [number.where(*part).scalar_subquery() for part in parts]
        total = select(reduce(add, counts))
    rows = select(*columns, total.scalar_subquery().label("total"))
    return page_of(rows, ids, limit=limit, offset=offset), total


def _parts(chosen: Filter) -> list[_Conditions]:
    """The conditions of a filter by reason or need, each part served by an index of its own; no job is in two."""
    codes = set(ReasonCode) if chosen.reasons is None else set(chosen.reasons)
    open_ones = codes & NEEDS_ATTENTION if chosen.attention else codes
    states = set(JobState) if chosen.states is None else set(chosen.states)
    beside = chosen.beside()
    noted = open_ones & HELD if chosen.unattended else open_ones
    parts: list[_Conditions] = [
        [jobs.c.reason_code.in_(sorted(noted)), _beside("state", states & OPEN_STATES), *beside]
    ]
    if chosen.unattended and ReasonCode.NO_WORKER in open_ones:
        not_held = jobs.c.reason_code.is_(None) | jobs.c.reason_code.not_in(sorted(HELD))
        parts += [[jobs.c.state == state, not_held, *chosen.conditions()] for state in sorted(states & UNPAUSED_STATES)]
    if chosen.attention and chosen.reasons is None:
        parts.append([IS_FAILED, _beside("state", states & FAILED_STATES), ~_RETRIED, *beside])
    return parts


def _newest_of(parts: Sequence[Select[Any]], most: int) -> Select[Any]:
    order = (jobs.c.created_at.desc(), jobs.c.id.desc())
    walks = [select(part.order_by(*order).limit(most).subquery()) for part in parts]
    return walks[0] if len(walks) == 1 else select(union_all(*walks).subquery())


def newest_ids(matching: Select[Any], states: Sequence[JobState] | None, most: int) -> Select[Any]:
    """The newest of the jobs that match and are in one of the states.

    One walk for each state: a walk over several states at once would have to sort all that match.
    """
    if states is None:
        return matching.order_by(jobs.c.created_at.desc(), jobs.c.id.desc()).limit(most)
    if not states:
        return matching.where(false())
    return _newest_of([matching.where(jobs.c.state == state) for state in states], most)


def page_of(rows: Select[Any], ids: Select[Any], *, limit: int, offset: int) -> Select[Any]:
    """The rows of jobs on one page of those ids, newest first."""
    found = ids.subquery()
    order = (found.c.created_at.desc(), found.c.id.desc())
    page = select(found).order_by(*order).limit(limit).offset(offset).subquery()
    return (
        rows.select_from(page).join(jobs, jobs.c.id == page.c.id).order_by(page.c.created_at.desc(), page.c.id.desc())
    )
