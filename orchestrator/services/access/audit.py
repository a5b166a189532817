"""The audit trail: every change and attempted change, every refused call, every read of confidential data."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import structlog

from orchestrator.domain.access import NOBODY, AuditEntry
from orchestrator.domain.errors import InvalidInput, Unavailable
from orchestrator.security.sealing import Sealer
from orchestrator.services.background import Background
from orchestrator.storage.audit import AuditRepository

log = structlog.get_logger(__name__)

MINUTE: Final = 60.0
_MAX_OF_CLIENT: Final = 10  # Entries for refused calls of one client in one minute.
_MAX_OF_ALL: Final = 300  # Entries for refused calls of all clients in one minute.
_MAX_COUNTED: Final = 100  # Clients whose further refused calls are counted one by one.
_SUMMARY_ACTION: Final = "(refused)"


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Selects entries. Empty fields do not filter. `before` is the id of the last entry of the page before.

    `username` is the name of failed sign-ins. The trail holds its digest.
    """

    principal: str | None = None
    username: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Entries, newest first. `next` is `before` for the next page, None on the last page."""

    entries: list[AuditEntry]
    next: int | None


class AuditLog:
    """Writes and reads the trail. Holds the entries that are not written yet."""

    def __init__(
        self, entries: AuditRepository, sealer: Sealer, *, clock: Callable[[], datetime], minute: float = MINUTE
    ) -> None:
        self._entries = entries
        self._sealer = sealer
        self._clock = clock
        self._minute = minute
        self._waiting: list[AuditEntry] = []
        self._writing = asyncio.Lock()
        self._work = Background()
        self._refused = RefusedCalls()
        self._minutes: asyncio.Task[None] | None = None

    async def record(self, entry: AuditEntry) -> None:
        """Write one entry. Never raises, because the recorded call is over: an entry that cannot be written is logged.

        Entries that arrive during a write are written together in the next one.
        """
        self._waiting.append(entry)
        await asyncio.shield(self._work.start(self._write(), "audit"))

    async def record_refused(self, entry: AuditEntry, client: str) -> None:
        """Record a refused call. In each minute a client gets ten entries; one more entry counts its further calls."""
        if self._minutes is None:
            self._minutes = asyncio.create_task(self._end_minute(), name="audit minute")
        if self._refused.admit(entry, client):
            await self.record(entry)

    def alias(self, username: str) -> str:
        """The digest of the name of a failed sign-in: the name may be a password typed into the wrong field."""
        return f"name:{self._sealer.digest(f'sign-in name {username}')[:32]}"

    async def list(self, filter: AuditFilter) -> AuditPage:
        """One page of the trail. Raises `Unavailable`."""
        rows = await self._entries.list(
            principal=filter.principal if filter.username is None else self.alias(filter.username),
            action=filter.action,
            since=filter.since,
            until=filter.until,
            before=filter.before,
            limit=filter.limit + 1,
        )
        entries = rows[: filter.limit]
        return AuditPage(entries, entries[-1].id if len(rows) > filter.limit else None)

    async def aclose(self) -> None:
        """Write the counted calls. Call it before the connections are closed."""
        if self._minutes is not None:
            self._minutes.cancel()
            self._minutes = None
        await self._record_counted()
        await self._work.settle()

    async def _end_minute(self) -> None:
        await asyncio.sleep(self._minute)
        self._minutes = None
        await self._record_counted()

    async def _record_counted(self) -> None:
        for entry in self._refused.counted(self._clock()):
            await self.record(entry)

    async def _write(self) -> None:
        async with self._writing:
            entries, self._waiting = self._waiting, []
            if not entries:  # the write before included them
                return
            try:
                await self._entries.add(*entries)
            except Unavailable as error:
                for entry in entries:
                    _log_lost(entry, error)
            except InvalidInput:
                for entry in entries:
                    await self._write_alone(entry)

    async def _write_alone(self, entry: AuditEntry) -> None:
        try:
            await self._entries.add(entry)
        except (Unavailable, InvalidInput) as error:
            _log_lost(entry, error)


class RefusedCalls:
    """Counts the refused calls of a minute, so that anonymous clients fill neither the trail nor the memory."""

    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()
        self._summaries: dict[str, AuditEntry] = {}

    def admit(self, entry: AuditEntry, client: str) -> bool:
        """Whether a call gets its own entry. If not, it is added to a summary."""
        counted_alone = client in self._calls or len(self._calls) < _MAX_OF_ALL
        name = client if counted_alone else ""  # "" stands for all other clients
        self._calls[name] += 1
        if counted_alone and self._calls[name] <= _MAX_OF_CLIENT and self._entries() <= _MAX_OF_ALL:
            return True
        name = name if name in self._summaries or len(self._summaries) < _MAX_COUNTED else ""
        self._summaries[name] = _summary(entry, self._summaries.get(name), alone=bool(name))
        return False

    def _entries(self) -> int:
        return sum(min(calls, _MAX_OF_CLIENT) for calls in self._calls.values())

    def counted(self, at: datetime) -> Iterator[AuditEntry]:
        """The summaries of this minute, one for each client with further calls. Starts a new minute."""
        summaries = self._summaries
        self._calls, self._summaries = Counter(), {}
        for entry in summaries.values():
            yield replace(entry, at=at)


def _summary(entry: AuditEntry, summary: AuditEntry | None, *, alone: bool) -> AuditEntry:
    if summary is not None:
        return replace(summary, calls=summary.calls + entry.calls)
    address = entry.address if alone else None
    return replace(
        entry,
        principal=NOBODY,
        key_id=None,
        action=_SUMMARY_ACTION,
        path="",
        address=address,
        surface=None,
        request_id="",
    )


def _log_lost(entry: AuditEntry, error: Unavailable | InvalidInput) -> None:
    log.warning(
        "audit_not_written",
        error=error.message,
        action=entry.action,
        actor=entry.principal,
        key_id=entry.key_id,
        status=entry.status,
        request=entry.request_id,
    )
