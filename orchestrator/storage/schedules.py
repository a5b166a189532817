"""Rows of schedules: their owners, in the order of their creation. Temporal has everything else."""

import builtins
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, delete, func, select, update

from orchestrator.domain.pages import Position
from orchestrator.domain.schedules import MAX_SCHEDULES, ScheduleRow
from orchestrator.storage import keyset
from orchestrator.storage.database import Database
from orchestrator.storage.owned_rows import add_row
from orchestrator.storage.tables import schedules

_ROW: Final = tuple(schedules.c[name] for name in ScheduleRow.__dataclass_fields__)


class ScheduleRepository:
    """The schedules of the index. Every method raises `Unavailable` if the database does not answer."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, row: ScheduleRow) -> ScheduleRow | None:
        """Insert a schedule. Returns None, or the existing row of this id.

        Raises `InvalidInput` if its owner already has `MAX_SCHEDULES`.
        """
        new = {name: getattr(row, name) for name in ScheduleRow.__dataclass_fields__}
        this = select(*_ROW).where(schedules.c.id == row.id)

        def write(connection: Connection) -> ScheduleRow | None:
            existing = connection.execute(this).mappings().first()
            if existing is not None:
                return _row(existing)
            most = MAX_SCHEDULES
            add_row(connection, schedules, new, most=most, kind="schedules", remedy="delete one first")
            return None

        return await self._db.transaction(write, owner=row.owner)

    async def get(self, schedule_id: str) -> ScheduleRow | None:
        """A schedule, or None."""
        query = select(*_ROW).where(schedules.c.id == schedule_id)
        row = await self._db.autocommit(lambda connection: connection.execute(query).mappings().first())
        return None if row is None else _row(row)

    async def list(
        self, *, owner: str | None, limit: int, offset: int, after: Position | None = None
    ) -> tuple[builtins.list[ScheduleRow], int]:
        """One page of an owner's schedules, or of all owners for None, oldest first, and the number of all."""
        matching = [] if owner is None else [schedules.c.owner == owner]
        count = select(func.count()).select_from(schedules).where(*matching)
        oldest = (schedules.c.created_at, schedules.c.id)
        page = select(*_ROW).where(*matching).order_by(*oldest).limit(limit).offset(offset)
        if after is not None:
            page = page.where(keyset.after(after, schedules.c.created_at, schedules.c.id, newest_first=False))

        def read(connection: Connection) -> tuple[builtins.list[ScheduleRow], int]:
            rows = [_row(row) for row in connection.execute(page).mappings()]
            return rows, connection.execute(count).scalar_one()

        return await self._db.autocommit(read)

    async def change(self, schedule_id: str, **values: Any) -> ScheduleRow | None:
        """Change columns of a schedule and return it. None if there is no such schedule."""
        change = update(schedules).where(schedules.c.id == schedule_id).values(**values).returning(*_ROW)
        row = await self._db.autocommit(lambda connection: connection.execute(change).mappings().first())
        return None if row is None else _row(row)

    async def delete(self, schedule_id: str) -> bool:
        """Delete the row of a schedule. False if there is none."""
        forget = delete(schedules).where(schedules.c.id == schedule_id)
        return await self._db.autocommit(lambda connection: connection.execute(forget).rowcount > 0)


def _row(row: RowMapping) -> ScheduleRow:
    return ScheduleRow(**row)
