"""The audit trail: who changed, or tried to change, what; who was refused; who read what is confidential."""

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
_OF_ONE: Final = 10  # Entries of refused calls of one client in a minute.
_OF_ALL: Final = 300
_MOST_CLIENTS: Final = 100  # Of which more calls are counted apart.
_TOGETHER: Final = "(refused)"


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are wanted. Empty fields do not filter; `before` is the id to go on from.

    `username` is the name of failed sign-ins, which stands in the trail as a digest.
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
    """Entries, newest first. `next` is where to go on from, None at the end."""

    entries: list[AuditEntry]
    next: int | None


class AuditLog:
    """Writes and reads the trail."""

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
        """Write one entry. Never raises: the call that it tells of is over; an entry that is lost is logged.

        Entries that come meanwhile are written together with the next one.
        """
        self._waiting.append(entry)
        await asyncio.shield(self._work.start(self._write(), "audit"))

    async def record_refused(self, entry: AuditEntry, client: str) -> None:
        """Write an entry for a call that was refused: ten of one client in a minute, the others as one at its end."""
        if self._minutes is None:
            self._minutes = asyncio.create_task(self._end_minute(), name="audit minute")
        if self._refused.admit(entry, client):
            await self.record(entry)

    def alias(self, username: str) -> str:
        """What stands in the trail for the name of a failed sign-in, which may be a password in the wrong field."""
        return f"name:{self._sealer.digest(f'sign-in name {username}')[:32]}"

    async def list(self, wanted: AuditFilter) -> AuditPage:
        """One page of the trail. Raises `Unavailable`."""
        found = await self._entries.list(
            principal=wanted.principal if wanted.username is None else self.alias(wanted.username),
            action=wanted.action,
            since=wanted.since,
            until=wanted.until,
            before=wanted.before,
            limit=wanted.limit + 1,
        )
        entries = found[: wanted.limit]
        return AuditPage(entries, entries[-1].id if len(found) > wanted.limit else None)

    async def aclose(self) -> None:
        """Write what has been counted. Before the connections are closed."""
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
            if not entries:  # written with those before
                return
            try:
                await self._entries.add(*entries)
            except Unavailable as fault:
                for entry in entries:
                    _log_lost(entry, fault)
            except InvalidInput:
                for entry in entries:
                    await self._write_alone(entry)

    async def _write_alone(self, entry: AuditEntry) -> None:
        try:
            await self._entries.add(entry)
        except (Unavailable, InvalidInput) as fault:
            _log_lost(entry, fault)


class RefusedCalls:
    """The refused calls of a minute: strangers fill neither the trail nor the memory."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()
        self._more: dict[str, AuditEntry] = {}

    def admit(self, entry: AuditEntry, client: str) -> bool:
        """Whether a call gets an entry of its own; otherwise it is counted."""
        own = client in self._seen or len(self._seen) < _OF_ALL
        name = client if own else ""
        self._seen[name] += 1
        if own and self._seen[name] <= _OF_ONE and sum(min(seen, _OF_ONE) for seen in self._seen.values()) <= _OF_ALL:
            return True
        name = name if name in self._more or len(self._more) < _MOST_CLIENTS else ""
        known = self._more.get(name)
        self._more[name] = _together(entry, known, alone=bool(name))
        return False

    def counted(self, at: datetime) -> Iterator[AuditEntry]:
        """One entry for each client with more calls than have entries, and the beginning of another minute."""
        more = self._more
        self._seen, self._more = Counter(), {}
        for entry in more.values():
            yield replace(entry, at=at)


def _together(entry: AuditEntry, known: AuditEntry | None, *, alone: bool) -> AuditEntry:
    if known is not None:
        return replace(known, calls=known.calls + entry.calls)
    address = entry.address if alone else None
    return replace(
        entry, principal=NOBODY, key_id=None, action=_TOGETHER, path="", address=address, surface=None, request_id=""
    )


def _log_lost(entry: AuditEntry, fault: Unavailable | InvalidInput) -> None:
    log.warning(
        "audit_not_written",
        error=fault.message,
        action=entry.action,
        actor=entry.principal,
        key_id=entry.key_id,
        status=entry.status,
        request=entry.request_id,
    )
