"""The audit trail: who changed, or tried to change, what."""

from dataclasses import dataclass
from datetime import datetime

import structlog

from orchestrator.domain.access import AuditEntry
from orchestrator.domain.errors import InvalidInput, Unavailable
from orchestrator.storage.audit import AuditRepository

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are wanted. Empty fields do not filter; `before` is the id to go on from."""

    principal: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Entries, newest first. `next` is where to go on from, None at the end."""

    entries: list[AuditEntry]
    next: int | None


class AuditLog:
    """Writes and reads the trail."""

    def __init__(self, entries: AuditRepository) -> None:
        self._entries = entries

    async def record(self, entry: AuditEntry) -> None:
        """Write one entry. Never raises: the call that it tells of is over; an entry that is lost is logged."""
        try:
            await self._entries.add(entry)
        except (Unavailable, InvalidInput) as fault:
            log.warning(
                "audit_not_written",
                error=fault.message,
                action=entry.action,
                actor=entry.principal,
                key_id=entry.key_id,
                status=entry.status,
                request=entry.request_id,
            )

    async def list(self, wanted: AuditFilter) -> AuditPage:
        """One page of the trail. Raises `Unavailable`."""
        found = await self._entries.list(
            principal=wanted.principal,
            action=wanted.action,
            since=wanted.since,
            until=wanted.until,
            before=wanted.before,
            limit=wanted.limit + 1,
        )
        entries = found[: wanted.limit]
        return AuditPage(entries, entries[-1].id if len(found) > wanted.limit else None)
