"""Rows of open jobs: what the reconciler compares with Temporal, and the reason why each job waits."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, String, bindparam, case, cast, func, or_, select, tuple_, update

from orchestrator.domain.jobs import OPEN_STATES, JobState, Reason, ReasonCode, StartState
from orchestrator.storage.database import Database
from orchestrator.storage.lists import HELD
from orchestrator.storage.tables import attempts, jobs

_END: Final = "\n"


@dataclass(frozen=True, slots=True)
class OpenRow:
    """A row without its final snapshot, for the reconciler.

    `checked_history` is the length of the job's history at the last check, and `checked_at` the time of that check.
    `moved_at` is the last time when an attempt of the job began or ended.
    """

    id: str
    state: JobState
    start_state: StartState
    namespace_id: str | None
    created_at: datetime
    checked_at: datetime | None
    checked_history: str | None
    reason_code: ReasonCode | None
    moved_at: datetime | None


_THIS: Final = jobs.c.id == bindparam("this_job")
_UNFINISHED: Final = jobs.c.snapshot.is_(None)
# With OR, not IN: these statements run for many jobs at once, where the list of an IN cannot be expanded.
_IS_OPEN: Final = or_(*(jobs.c.state == state for state in sorted(OPEN_STATES)))
_IS_HELD: Final = or_(*(jobs.c.reason_code == code for code in sorted(HELD)))
_MOVED_AT: Final = (
    select(func.max(func.coalesce(attempts.c.completed_at, attempts.c.started_at)))
    .where(attempts.c.job_id == jobs.c.id)
    .scalar_subquery()
    .label("moved_at")
)
_OPEN_ROW: Final = tuple(jobs.c[name] for name in OpenRow.__dataclass_fields__ if name != "moved_at")
_CHECKED: Final = (
    update(jobs)
    .where(_THIS, _UNFINISHED)
    .values(
        checked_at=bindparam("at", type_=jobs.c.checked_at.type),
        checked_history=bindparam("history"),
        # Reasons that only a new history event can change still hold if the history has the same length.
        reason_seen=case(
            (
                (jobs.c.checked_history == bindparam("history")) & _IS_HELD,
                bindparam("at", type_=jobs.c.checked_at.type),
            ),
            else_=jobs.c.reason_seen,
        ),
    )
)
_SEEN_AT: Final = bindparam("at", type_=jobs.c.reason_seen.type)
_NEW_CODE: Final = bindparam("code", type_=jobs.c.reason_code.type)
_NOTE: Final = (
    update(jobs)
    .where(_THIS, _IS_OPEN, jobs.c.reason_seen.is_(None) | (jobs.c.reason_seen <= _SEEN_AT))
    .values(
        reason_code=_NEW_CODE,
        reason_message=bindparam("message", type_=jobs.c.reason_message.type),
        reason_since=case((jobs.c.reason_code == cast(_NEW_CODE, String), jobs.c.reason_since), else_=_SEEN_AT),
        reason_seen=_SEEN_AT,
        reason_people=bindparam("people", type_=jobs.c.reason_people.type),
    )
)


class OpenJobs:
    """The reconciler's part of the job index. Every method raises `Unavailable` if the database does not answer."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def unfinished(
        self, *, before: datetime, started_before: datetime | None = None, batch: int = 1000
    ) -> list[OpenRow]:
        """Every job without a final snapshot that was accepted before a time. Reads no documents.

        Jobs that Temporal certainly has are included if they were accepted before `started_before`. The jobs that were
        checked longest ago come first.
        """
        rows: list[OpenRow] = []
        order = (jobs.c.created_at, jobs.c.id)
        condition = jobs.c.created_at < before
        if started_before is not None and started_before > before:
            is_started = jobs.c.start_state == StartState.STARTED
            condition = (jobs.c.created_at < started_before) & (is_started | condition)
        page = query = select(*_OPEN_ROW, _MOVED_AT).where(_UNFINISHED, condition).order_by(*order).limit(batch)
        while True:
            page_rows = await self._open_rows(page)
            rows += page_rows
            if len(page_rows) < batch:
                return sorted(rows, key=lambda row: (row.checked_at or row.created_at, row.id))
            page = query.where(tuple_(*order) > (rows[-1].created_at, rows[-1].id))

    async def checked(self, histories: Mapping[str, str], *, at: datetime) -> None:
        """Record a check of open jobs, with the length of the history of each."""
        checks = [{"this_job": job_id, "at": at, "history": history} for job_id, history in histories.items()]
        if checks:
            await self._db.transaction(lambda connection: connection.execute(_CHECKED, checks).close())

    async def _open_rows(self, page: Select[Any]) -> list[OpenRow]:
        return await self._db.autocommit(lambda connection: [OpenRow(*row) for row in connection.execute(page)])

    async def note_reasons(self, reasons: Mapping[str, Reason], *, at: datetime) -> None:
        """Record why open jobs wait, as seen at a time. Reasons that were seen later stay."""
        notes = [
            {
                "this_job": job_id,
                "code": reason.code,
                "message": reason.message,
                "people": _lines(reason.people),
                "at": at,
            }
            for job_id, reason in reasons.items()
        ]
        if notes:
            await self._db.transaction(lambda connection: connection.execute(_NOTE, notes).close())

    async def begun(self, job_id: str, state: JobState) -> None:
        """Record the open state of a job that has begun, if the index has it as pending. A later state stays."""
        change = update(jobs).where(jobs.c.id == job_id, jobs.c.state == JobState.PENDING).values(state=state)
        await self._db.autocommit(lambda connection: connection.execute(change).close())

    async def asking(self, people: Collection[str], *, other_than: str, limit: int) -> list[str]:
        """The newest open jobs, of another owner, with questions that are restricted to some of these people."""
        asks = or_(*(func.replace(jobs.c.reason_people, _lines([name]), "") != jobs.c.reason_people for name in people))
        query = (
            select(jobs.c.id)
            .where(jobs.c.reason_people.is_not(None), asks, _IS_OPEN, jobs.c.owner != other_than)
            .order_by(jobs.c.created_at.desc(), jobs.c.id.desc())
            .limit(limit)
        )
        return await self._db.autocommit(lambda connection: list(connection.execute(query).scalars()))


def _lines(people: Collection[str]) -> str | None:
    """Names of people between line ends; None without any."""
    names = [name.replace(_END, " ") for name in people]
    return _END + f"{_END}{_END}".join(names) + _END if names else None
