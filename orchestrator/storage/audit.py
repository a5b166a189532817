"""Rows of the audit trail: written and read, never changed."""

from dataclasses import asdict
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, func, insert, select

from orchestrator.domain.access import AuditEntry
from orchestrator.storage.audit_tables import audit
from orchestrator.storage.database import Database

_FIELDS: Final = tuple(audit.c[name] for name in AuditEntry.__dataclass_fields__)


class AuditRepository:
    """The audit trail in the index. Every method raises `Unavailable` when the database does not answer."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, entry: AuditEntry) -> None:
        """Write one entry; its number comes from the database."""
        row = asdict(entry)
        del row["id"]
        await self._db.autocommit(lambda connection: connection.execute(insert(audit), row).close())

    async def list(
        self,
        *,
        principal: str | None,
        action: str | None,
        since: datetime | None,
        until: datetime | None,
        before: int | None,
        limit: int,
    ) -> list[AuditEntry]:
        """Entries, newest first, below the id `before`; `action` is how theirs begins. None does not filter."""
        matching: list[ColumnElement[bool]] = []
        if principal is not None:
            matching.append(audit.c.principal == principal)
        if action is not None:  # not LIKE: SQLite's disregards case
            matching.append(func.substr(audit.c.action, 1, len(action)) == action)
        if since is not None:
            matching.append(audit.c.at >= since)
        if until is not None:
            matching.append(audit.c.at < until)
        if before is not None:
            matching.append(audit.c.id < before)
        wanted = select(*_FIELDS).where(*matching).order_by(audit.c.id.desc()).limit(limit)
        rows = await self._db.autocommit(lambda connection: connection.execute(wanted).mappings().all())
        return [AuditEntry(**row) for row in rows]
