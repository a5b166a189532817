"""Rows of the audit trail: written as a chain and read, never changed."""

import builtins
import hashlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from itertools import takewhile
from typing import Any, Final

import structlog
from sqlalchemy import ColumnElement, Connection, Select, delete, exists, func, insert, select, update

from orchestrator.domain.access import AuditEntry
from orchestrator.domain.audit_chain import ChainHead, ChainVerdict, digest_of
from orchestrator.storage.audit_tables import audit, audit_chain
from orchestrator.storage.database import Database

log = structlog.get_logger(__name__)

_FIELDS: Final = tuple(audit.c[name] for name in AuditEntry.__dataclass_fields__)
_HEAD: Final = select(*(audit_chain.c[name] for name in ChainHead.__dataclass_fields__)).where(audit_chain.c.id == 1)
_PAGE: Final = 1000


class AuditRepository:
    """The audit trail in the index. Every method raises `Unavailable` when the database does not answer.

    The first of `keys` seals the head of the chain; the others, of a secret key that is exchanged, are known as well.
    """

    def __init__(self, db: Database, *keys: bytes) -> None:
        self._db = db
        self._keys = keys

    async def add(self, *entries: AuditEntry) -> None:
        """Write entries, whose numbers follow the last one's. Writers of all processes take turns."""

        def write(connection: Connection) -> None:
            head = self._held(connection)
            number, digest, rows = head.number, head.digest, []
            for entry in entries:
                number += 1
                digest = digest_of(replace(entry, id=number), digest)
                rows.append(asdict(entry) | {"id": number, "digest": digest})
            connection.execute(insert(audit), rows)
            self._move(connection, replace(head, number=number, digest=digest))

        await self._db.transaction(write)

    async def prune(self, before: datetime, limit: int) -> int:
        """Delete at most `limit` of the first entries, from before a time, and return how many those were.

        What is left stays a chain: its head says what the first entry follows.
        """
        oldest = select(audit.c.id, audit.c.at, audit.c.digest).order_by(audit.c.id).limit(limit)

        def write(connection: Connection) -> int:
            head = self._held(connection)
            old = builtins.list(takewhile(lambda entry: entry.at < before, connection.execute(oldest)))
            if old:
                last = old[-1]
                # First the head: the database keeps what it does not call pruned.
                self._move(connection, replace(head, pruned=last.id, pruned_digest=last.digest or ""))
                connection.execute(delete(audit).where(audit.c.id <= last.id))
            return len(old)

        return await self._db.transaction(write)

    async def reseal(self) -> None:
        """Seal the head with the first key, whatever sealed it before: the secret that it follows from was replaced."""
        await self._db.transaction(lambda connection: self._move(connection, _head(connection)))

    async def verify(self) -> ChainVerdict:
        """Read the whole trail and look whether it is what was written."""
        head = await self._db.autocommit(_head)
        chained = await self._db.autocommit(lambda connection: connection.execute(_IS_CHAINED).scalar_one())
        if not self._is_sealed(head) and (head.seal or chained):
            return ChainVerdict(0, head, head.number, "the head of the chain was changed, or sealed with another key")
        if head.broken is not None:
            return ChainVerdict(0, head, head.broken, "a writer found the chain before this entry changed")
        checked, digest = 0, head.pruned_digest
        last = max(head.pruned, head.unchained)
        async for entry in self.read(after=last):
            if entry.id > head.number:
                break
            if entry.id != last + 1:
                head = await self._db.autocommit(_head)
                if head.pruned > last:  # by another process, since
                    return await self.verify()
                return ChainVerdict(checked, head, last + 1, "it is missing")
            if digest_of(entry, digest) != entry.digest:
                why = "it does not follow the entry before: one of the two was changed"
                return ChainVerdict(checked, head, entry.id, why)
            checked, last, digest = checked + 1, entry.id, entry.digest or ""
        if last != head.number:
            return ChainVerdict(checked, head, last + 1, f"it is missing, with all up to {head.number}")
        if checked and digest != head.digest:
            return ChainVerdict(checked, head, last, "it is not the one that the head of the chain names")
        return await self._newest(ChainVerdict(checked, head))

    async def _newest(self, verdict: ChainVerdict) -> ChainVerdict:
        newest = await self._db.autocommit(lambda connection: connection.execute(_NEWEST).scalar_one())
        head = await self._db.autocommit(_head)
        if newest is not None and newest > head.number:
            return replace(verdict, broken=head.number + 1, why="it was added past the chain")
        return verdict

    async def read(self, *, after: int = 0) -> AsyncIterator[AuditEntry]:
        """Every entry above a number, oldest first, page by page."""
        while True:
            wanted = select(*_FIELDS).where(audit.c.id > after).order_by(audit.c.id).limit(_PAGE)
            page = await self._db.autocommit(partial(_entries, wanted=wanted))
            for entry in page:
                yield entry
            if len(page) < _PAGE:
                return
            after = page[-1].id

    async def list(
        self,
        *,
        principal: str | None,
        action: str | None,
        since: datetime | None,
        until: datetime | None,
        before: int | None,
        limit: int,
    ) -> builtins.list[AuditEntry]:
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
        return await self._db.autocommit(lambda connection: _entries(connection, wanted))

    def _held(self, connection: Connection) -> ChainHead:
        """The head, which nobody else moves until the transaction ends. One that is not as it was left is marked."""
        head = _head(connection, held=True)
        newest = connection.execute(_NEWEST).scalar_one() or head.pruned
        new = not head.seal and not connection.execute(_IS_CHAINED).scalar_one()
        if head.broken is None and not (new or (self._is_sealed(head) and newest == head.number)):
            log.error("audit_chain_broken", entry=head.number + 1, advice="run `orchestrator audit verify`")
            return replace(head, number=max(newest, head.number), broken=max(newest, head.number) + 1)
        return replace(head, number=max(newest, head.number))

    def _move(self, connection: Connection, head: ChainHead) -> None:
        sealed = replace(head, seal=_seal(self._keys[0], head))
        connection.execute(update(audit_chain).where(audit_chain.c.id == 1).values(**asdict(sealed)))

    def _is_sealed(self, head: ChainHead) -> bool:
        return any(hmac.compare_digest(head.seal, _seal(key, head)) for key in self._keys)


_NEWEST: Final = select(func.max(audit.c.id))
_IS_CHAINED: Final = select(exists().where(audit.c.digest.is_not(None)))


def _seal(key: bytes, head: ChainHead) -> str:
    return hmac.new(key, head.content.encode(), hashlib.sha256).hexdigest()


def _head(connection: Connection, *, held: bool = False) -> ChainHead:
    """The head of the chain; triggers keep its row."""
    return ChainHead(**connection.execute(_HEAD.with_for_update() if held else _HEAD).mappings().one())


def _entries(connection: Connection, wanted: Select[Any]) -> list[AuditEntry]:
    return [AuditEntry(**row) for row in connection.execute(wanted).mappings()]
