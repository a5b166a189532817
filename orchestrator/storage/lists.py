"""Pages of jobs, newest first, and counts. Both use an index only: documents are never read or sorted.

The index finds the ids of a page first, with one scan per state. Then only those rows are read.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    CompoundSelect,
    Select,
    String,
    TextClause,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    type_coerce,
    union_all,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

from orchestrator.domain.ids import ID_END_LENGTH, JobKind, job_id
from orchestrator.domain.jobs import FAILED_STATES, NEEDS_ATTENTION, OPEN_STATES, UNPAUSED_STATES, JobState, ReasonCode
from orchestrator.domain.pages import MOST_COUNTED, Position
from orchestrator.storage import keyset
from orchestrator.storage.labels import job_labels, label_of, labelled
from orchestrator.storage.tables import IS_FAILED, id_end, jobs

_Conditions = list[ColumnElement[bool] | TextClause]

# While no worker polls, an open job waits for a worker, unless it waits for a person or no worker could help.
HELD: Final = frozenset(
    {
        ReasonCode.CANCELLING,
        ReasonCode.STUCK,
        ReasonCode.WAITING_FOR_APPROVAL,
        ReasonCode.WAITING_FOR_INPUT,
        ReasonCode.PAUSED,
        ReasonCode.SCHEDULED,
    }
)
_LATER: Final = jobs.alias("later")
# Of a failed job and its retries, only the last failed one needs attention, and none if a later one runs or completed.
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

    `reasons` applies to open jobs. `attention` selects jobs that need a person: stuck ones, and failed ones that no
    retry has completed. `unattended` means that no worker polls for these jobs. `id_part` is the end of an id, or its
    beginning without the prefix, of at least `ID_END_LENGTH` characters.
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
    labels: Mapping[str, str] = field(default_factory=dict)
    id_start: str | None = None
    id_part: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """The conditions, without those on states, reasons and attention."""
        return [*(jobs.c[name] == value for name, value in self.equal().items()), *self.bounds()]

    def row_conditions(self) -> list[ColumnElement[bool]]:
        """The same conditions, checked on rows that another condition has found: no index is scanned for them."""
        return [*(row_has(name, [value]) for name, value in self.equal().items()), *self.bounds()]

    @property
    def plain(self) -> bool:
        """Whether it filters by columns alone that share an index with the time."""
        return self.reasons is None and not self.attention and not self.labels and not (self.id_start or self.id_part)

    @property
    def by_id_part(self) -> bool:
        """Whether an index of ids finds the jobs that match."""
        return self.id_part is not None and self.reasons is None and not self.attention

    @property
    def labelled(self) -> bool:
        """Whether the rows of a label show which jobs match."""
        return bool(self.labels) and self.reasons is None and not self.attention and not self.by_id_part

    def bounds(self) -> list[ColumnElement[bool]]:
        """The conditions that are not on the value of one column: labels, times and ids."""
        labels = [labelled(name, value) for name, value in self.labels.items()]
        return [*labels, *self._between(jobs.c.created_at, jobs.c.id)]

    def label_conditions(self) -> list[ColumnElement[bool]]:
        """All conditions but those on reasons and attention, on the rows of the first label: no other row is read."""
        entry = job_labels.c
        (name, value), *others = self.labels.items()
        conditions = [entry.label == label_of(name, value), *self._between(entry.created_at, entry.job_id)]
        equal = self.equal()
        if (subject := equal.pop("subject", None)) is not None:
            conditions.append(entry.job_id.in_(select(jobs.c.id).where(jobs.c.subject == subject)))
        conditions += [entry[column] == word for column, word in equal.items()]
        return [*conditions, *(_has_also(*label) for label in others)]

    def _between(self, created_at: Column[Any], id: Column[Any]) -> list[ColumnElement[bool]]:
        """The conditions on times and ids."""
        bounds: list[ColumnElement[bool]] = []
        if self.since is not None:
            bounds.append(created_at >= self.since)
        if self.until is not None:
            bounds.append(created_at < self.until)
        if self.id_start is not None:  # a range, because LIKE uses no index in SQLite; ids end in hexadecimal digits
            bounds += [id >= self.id_start, id < f"{self.id_start}g"]
        if self.id_part is not None:
            bounds.append(or_(id.endswith(self.id_part, autoescape=True), *_beginnings(self.id_part, id)))
        return bounds

    def equal(self) -> dict[str, str]:
        """The columns that must have one value, and the value."""
        columns = {"owner": self.owner, "kind": self.kind, "definition": self.definition, "subject": self.subject}
        return {name: str(value) for name, value in columns.items() if value is not None}


def _beginnings(id_part: str, id: Column[Any]) -> list[ColumnElement[bool]]:
    """Whether an id of each kind begins with a part."""
    return [(id >= start) & (id < f"{start}g") for start in (job_id(kind, id_part) for kind in JobKind)]


class _Checked(FunctionElement[str]):
    """The value of a column, for a condition that no index is scanned for."""

    type = String()
    inherit_cache = True


@compiles(_Checked)
def _checked(element: _Checked, compiler: SQLCompiler, **kw: Any) -> str:
    return f"({compiler.process(element.clauses, **kw)} || '')"


@compiles(_Checked, "sqlite")
def _sqlite_checked(element: _Checked, compiler: SQLCompiler, **kw: Any) -> str:
    return f"(+{compiler.process(element.clauses, **kw)})"  # costs nothing, unlike a concatenation


def _has_also(name: str, value: str) -> ColumnElement[bool]:
    """Whether the job of a row of labels has another label, too: one search."""
    other = job_labels.alias("other")
    entry = job_labels.c
    of_job = (other.c.label == label_of(name, value), other.c.created_at == entry.created_at)
    return exists().where(*of_job, other.c.job_id == entry.job_id)


def row_has(column: str, values: Collection[str]) -> ColumnElement[bool]:
    """Whether a column has one of these values, checked without a scan of its index."""
    return _Checked(type_coerce(jobs.c[column], String)).in_([str(value) for value in sorted(values)])


def job_page(
    columns: Sequence[Column[Any]], job_filter: Filter, *, limit: int, offset: int, after: Position | None = None
) -> tuple[Select[Any], Select[Any]]:
    """Two statements: one page, each row with the `total` of all matches, which is bounded; and that number alone."""
    ids = matching_ids(job_filter, limit + offset, after)
    # In the order of the page, so that the database reads as few entries of the same index.
    most = offset + MOST_COUNTED
    counted = matching_ids(job_filter, most)
    total = select(func.count()).select_from(select(counted.limit(most).subquery()).subquery())
    rows = select(*columns, total.scalar_subquery().label("total"))
    return page_of(rows, ids, limit=limit, offset=offset), total


def matching_ids(job_filter: Filter, most: int, after: Position | None = None) -> Select[Any]:
    """The ids and times of the newest `most` matching jobs, by the index of the filter.

    A filter with several states or reasons may return more.
    """
    if job_filter.labelled:
        return _labelled_ids(job_filter, most, after)
    newest = select(jobs.c.id, jobs.c.created_at)
    if after is not None:
        newest = newest.where(keyset.after(after, jobs.c.created_at, jobs.c.id, newest_first=True))
    if job_filter.definition is not None and job_filter.plain:
        return _newest_of([newest.where(*part) for part in _definition_parts(job_filter)], most)
    if job_filter.reasons is None and not job_filter.attention and not job_filter.by_id_part:
        return newest_ids(newest.where(*job_filter.conditions()), job_filter.states, most)
    return _newest_of([newest.where(*part) for part in _parts(job_filter)], most)


def state_counts(job_filter: Filter) -> Sequence[Select[Any] | CompoundSelect[Any]]:
    """Statements whose rows, a state and a number, add up to the number of matching jobs in each state.

    The states of the filter are ignored. Of all matches, most are completed: these are not counted, but are the rest.
    """
    whole = replace(job_filter, states=None)
    if whole.labelled:
        of_label = select(job_labels.c.state, func.count()).where(*whole.label_conditions())
        return [of_label.group_by(job_labels.c.state)]
    if not whole.plain or set(whole.equal()) - {"owner"} or whole.since is not None or whole.until is not None:
        parts = [whole.conditions()] if whole.plain else _parts(whole)
        by_state = whole.plain and whole.definition is None  # the indices of definitions do not begin with the state
        state = jobs.c.state if by_state else _Checked(type_coerce(jobs.c.state, String))
        return [select(state, func.count()).where(*part).group_by(state) for part in parts]
    number = select(func.count()).select_from(jobs).where(*whole.conditions())
    rest = sorted(set(JobState) - {JobState.COMPLETED})
    counts: list[ColumnElement[int]] = [number.where(jobs.c.state == state).scalar_subquery() for state in rest]
    completed: ColumnElement[int] = number.scalar_subquery()
    for count in counts:
        completed = completed - count
    rows = [(JobState.COMPLETED, completed), *zip(rest, counts, strict=True)]
    # One statement, because the numbers must be of one moment.
    return [union_all(*(select(literal(str(state)), count) for state, count in rows))]


def _parts(job_filter: Filter) -> list[_Conditions]:
    """The disjoint parts of a filter by reason, attention or a part of an id. Each part has its own index."""
    states = set(JobState) if job_filter.states is None else set(job_filter.states)
    if job_filter.by_id_part:
        return _id_parts(job_filter, states)
    conditions = job_filter.row_conditions()
    if job_filter.reasons is None and not job_filter.attention:
        return [[row_has("state", states), *conditions]]
    codes = set(ReasonCode) if job_filter.reasons is None else set(job_filter.reasons)
    open_codes = codes & NEEDS_ATTENTION if job_filter.attention else codes
    noted_codes = open_codes & HELD if job_filter.unattended else open_codes
    parts: list[_Conditions] = [
        [jobs.c.reason_code.in_(sorted(noted_codes)), row_has("state", states & OPEN_STATES), *conditions]
    ]
    if job_filter.unattended and ReasonCode.NO_WORKER in open_codes:
        not_held = jobs.c.reason_code.is_(None) | jobs.c.reason_code.not_in(sorted(HELD))
        parts += [
            [jobs.c.state == state, not_held, *job_filter.conditions()] for state in sorted(states & UNPAUSED_STATES)
        ]
    if job_filter.attention and job_filter.reasons is None:
        parts.append([IS_FAILED, row_has("state", states & FAILED_STATES), ~_RETRIED, *conditions])
    return parts


def _id_parts(job_filter: Filter, states: set[JobState]) -> list[_Conditions]:
    """The jobs whose id ends with a part, and for each kind those whose id begins with it."""
    part = job_filter.id_part or ""
    conditions = [row_has("state", states), *replace(job_filter, id_part=None).row_conditions()]
    beginnings = _beginnings(part, jobs.c.id)
    ends = (id_end == part[-ID_END_LENGTH:]) & jobs.c.id.endswith(part, autoescape=True) & ~or_(*beginnings)
    return [[each, *conditions] for each in (ends, *beginnings)]


def _definition_parts(job_filter: Filter) -> list[_Conditions]:
    """The parts of a filter by definition, one for each kind: its index begins with both, and ends with the state."""
    kinds = list(JobKind) if job_filter.kind is None else [job_filter.kind]
    of_state = [] if job_filter.states is None else [row_has("state", set(job_filter.states))]
    return [[*replace(job_filter, kind=kind).conditions(), *of_state] for kind in kinds]


def _labelled_ids(job_filter: Filter, most: int, after: Position | None) -> Select[Any]:
    """The newest jobs with the labels of a filter, by the rows of its first label, which are in the order of lists."""
    entry = job_labels.c
    ids = select(entry.job_id.label("id"), entry.created_at).where(*job_filter.label_conditions())
    if job_filter.states is not None:
        ids = ids.where(entry.state.in_(sorted(job_filter.states)))
    if after is not None:
        ids = ids.where(keyset.after(after, entry.created_at, entry.job_id, newest_first=True))
    return ids.order_by(entry.created_at.desc(), entry.job_id.desc()).limit(most)


def _newest_of(parts: Sequence[Select[Any]], most: int) -> Select[Any]:
    order = (jobs.c.created_at.desc(), jobs.c.id.desc())
    scans = [select(part.order_by(*order).limit(most).subquery()) for part in parts]
    return scans[0] if len(scans) == 1 else select(union_all(*scans).subquery())


def newest_ids(matching: Select[Any], states: Sequence[JobState] | None, most: int) -> Select[Any]:
    """The newest matching jobs in one of the states.

    One scan per state: a scan over several states would have to sort all matches.
    """
    if states is None:
        return matching.order_by(jobs.c.created_at.desc(), jobs.c.id.desc()).limit(most)
    if not states:
        return matching.where(false())
    return _newest_of([matching.where(jobs.c.state == state) for state in states], most)


def page_of(rows: Select[Any], ids: Select[Any], *, limit: int, offset: int) -> Select[Any]:
    """The rows of jobs on one page of these ids, newest first."""
    candidates = ids.subquery()
    order = (candidates.c.created_at.desc(), candidates.c.id.desc())
    page = select(candidates).order_by(*order).limit(limit).offset(offset).subquery()
    return (
        rows.select_from(page).join(jobs, jobs.c.id == page.c.id).order_by(page.c.created_at.desc(), page.c.id.desc())
    )
