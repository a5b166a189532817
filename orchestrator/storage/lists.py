"""Pages of jobs, newest first, and exact counts, both out of an index: documents are never read or sorted.

The rows of a page are found in the index first, one walk for each state, and only those rows are read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Select, TextClause, exists, false, func, select, text, union_all

from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import NEEDS_ATTENTION, OPEN_STATES, JobState, ReasonCode
from orchestrator.storage.tables import IS_FAILED, jobs

_Conditions = list[ColumnElement[bool] | TextClause]

# Without a worker an open job waits for one, unless it waits for a person anyway, or no worker could help it.
HELD: Final = frozenset({ReasonCode.CANCELLING, ReasonCode.STUCK, ReasonCode.WAITING_FOR_APPROVAL, ReasonCode.PAUSED})
_FAILED: Final = (JobState.FAILED, JobState.TIMEOUT)
_LATER: Final = jobs.alias("later")
# Work that failed shows once, as its last job that failed: not where a later one of the line did it, or is to do it.
_RETRIED: Final = exists().where(
    _LATER.c.retry_root == func.coalesce(jobs.c.retry_root, jobs.c.id),
    text("later.retry_of IS NOT NULL"),
    _LATER.c.state != JobState.CANCELLED,
    _LATER.c.created_at > jobs.c.created_at,
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

    def conditions(self) -> list[ColumnElement[bool]]:
        """All but the states."""
        columns = {"owner": self.owner, "kind": self.kind, "definition": self.definition, "subject": self.subject}
        return [jobs.c[name] == value for name, value in columns.items() if value is not None]


def job_page(
    columns: Sequence[Column[Any]], chosen: Filter, *, limit: int, offset: int
) -> tuple[Select[Any], Select[Any]]:
    """The statements for one page, each row with the `total` of all jobs that match, and for that number alone."""
    matching = chosen.conditions()
    newest = select(jobs.c.id, jobs.c.created_at).where(*matching)
    number = select(func.count()).select_from(jobs).where(*matching)
    if chosen.reasons is None and not chosen.attention:
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
    in_states = jobs.c.state.in_(sorted(states & OPEN_STATES))
    noted = open_ones & HELD if chosen.unattended else open_ones
    parts: list[_Conditions] = [[jobs.c.reason_code.in_(sorted(noted)), in_states]]
    if chosen.unattended and ReasonCode.NO_WORKER in open_ones:
        not_held = jobs.c.reason_code.is_(None) | jobs.c.reason_code.not_in(sorted(HELD))
        parts += [
            [jobs.c.state == state, not_held] for state in (JobState.PENDING, JobState.RUNNING) if state in states
        ]
    if chosen.attention and chosen.reasons is None:
        failed = [state for state in _FAILED if state in states]
        parts.append([IS_FAILED, jobs.c.state.in_(failed), ~_RETRIED])
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
