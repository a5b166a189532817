"""Rows of the audit trail: a chain of digests that is only appended to and pruned."""

import builtins
import hashlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import takewhile
from typing import Any, Final

import structlog
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Integer,
    RowMapping,
    Select,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from orchestrator.domain.access import AuditEntry
from orchestrator.domain.audit_chain import BEGINNING, ChainHead, ChainVerdict, digest_of, fields_of
from orchestrator.domain.errors import Unavailable
from orchestrator.storage.audit_tables import audit, audit_chain
from orchestrator.storage.database import Database
from orchestrator.storage.moments import AsText, UtcDateTime

log = structlog.get_logger(__name__)

_FIELDS: Final = [audit.c[name] for name in AuditEntry.__dataclass_fields__]
_HEAD_FIELDS: Final = [audit_chain.c[name] for name in ChainHead.__dataclass_fields__]
_HEAD: Final = select(*(AsText(column).label(column.name) for column in _HEAD_FIELDS)).where(audit_chain.c.id == 1)
_LOCKED_HEAD: Final = _HEAD.with_for_update()
_WRITE_HEAD: Final = update(audit_chain).where(audit_chain.c.id == 1)
_APPEND: Final = insert(audit)
_ENTRY: Final = select(*(AsText(column).label(column.name) for column in _FIELDS))
_PAGE: Final = 1000
_LOWEST: Final = -(2**31)
_HIGHEST: Final = 2**31 - 1
_UNREADABLE: Final = "(unreadable)"
_SUBSTITUTES: Final = {str: _UNREADABLE, int: -1, datetime: datetime.max.replace(tzinfo=UTC)}


class AuditRepository:
    """The audit trail in the index. Every method raises `Unavailable` if the database does not answer.

    A process may write if the head is sealed by its first key. While the secret key is rotated, the other `keys` seal
    the head too.
    """

    def __init__(self, db: Database, *keys: bytes) -> None:
        self._db = db
        self._keys = keys

    async def add(self, *entries: AuditEntry) -> None:
        """Append entries. One process at a time writes, so that the numbers have no gap."""

        def write(connection: Connection) -> None:
            head = self._locked_head(connection, room=len(entries))
            number, digest, rows = head.number, head.digest, []
            for entry in entries:
                number += 1
                digest = digest_of(replace(entry, id=number), digest)
                rows.append(fields_of(entry) | {"id": number, "digest": digest})
            # The head first: a trigger refuses entries with a number above the head's.
            self._write_head(connection, replace(head, number=number, digest=digest))
            connection.execute(_APPEND, rows)

        try:
            await self._db.transaction(write)
        except IntegrityError as error:
            raise Unavailable("The audit trail refuses entries.", remedy="Run `orchestrator audit verify`.") from error

    def begin(self, connection: Connection) -> None:
        """Begin the chain after the existing entries. Only the migration that creates the chain may call this: later, a
        missing head means that somebody deleted it."""
        last, digest, after = 0, BEGINNING, _LOWEST
        while page := _entries(connection, _ENTRY.where(audit.c.id > after).order_by(audit.c.id).limit(_PAGE)):
            for entry in page:
                digest = digest_of(entry, digest)
            last = after = page[-1].id
        self._write_head(connection, ChainHead(number=last, digest=digest, unchained=last))

    async def prune(self, before: datetime, limit: int) -> int:
        """Delete at most `limit` of the oldest entries before a time, and return their number.

        The remaining entries stay a chain: the head holds the digest that the first one follows.
        """

        def write(connection: Connection) -> int:
            head = self._locked_head(connection)
            oldest = _ENTRY.where(audit.c.id > head.pruned).order_by(audit.c.id).limit(limit)
            old = builtins.list(takewhile(lambda entry: entry.at < before, _entries(connection, oldest)))
            if old:
                last, digest = old[-1], head.pruned_digest
                for entry in old:
                    digest = digest_of(entry, digest) if entry.id <= head.unchained else entry.digest or BEGINNING
                # The head first: a trigger refuses to delete entries that the head does not mark as pruned.
                self._write_head(connection, replace(head, pruned=last.id, pruned_digest=digest))
                connection.execute(delete(audit).where(audit.c.id <= last.id))
            return len(old)

        return await self._db.transaction(write)

    async def reseal(self) -> None:
        """Seal the head with the first key, whichever key sealed it before. For a replaced secret key."""

        def write(connection: Connection) -> None:
            head = _head(connection, lock=True)
            self._write_head(connection, self._broken_head(connection, ChainHead(), 1) if head is None else head)

        await self._db.transaction(write)

    async def verify(self) -> ChainVerdict:
        """Read the whole trail and check every digest, number and seal."""
        head = await self._db.autocommit(_head)
        if head is None:
            newest = await self._db.autocommit(lambda connection: connection.execute(_NEWEST).scalar_one())
            return ChainVerdict(0, ChainHead(), newest or 0, "the head of the chain is missing or unreadable")
        if not self._is_sealed(head):
            return ChainVerdict(0, head, head.number, "the head of the chain was changed, or sealed with another key")
        if head.broken is not None:
            return ChainVerdict(0, head, head.broken, "a writer found that the chain before this entry was changed")
        verdict = await self._verify_entries(head)
        if verdict.broken is not None:
            current = await self._db.autocommit(_head)
            if current is not None and current.pruned != head.pruned:  # Another process pruned meanwhile.
                return await self.verify()
        return verdict

    async def _verify_entries(self, head: ChainHead) -> ChainVerdict:
        checked, last, digest = 0, head.pruned, head.pruned_digest
        async for entry in self.read(after=_LOWEST):
            if entry.id > head.number:
                break
            if entry.id <= head.pruned:
                return ChainVerdict(checked, head, entry.id, "it was added before the beginning of the chain")
            expected = digest_of(entry, digest)
            if entry.id <= head.unchained:
                last, digest = entry.id, expected
                continue
            if entry.id != max(last, head.unchained) + 1:
                return ChainVerdict(checked, head, max(last, head.unchained) + 1, "it is missing")
            if expected != entry.digest:
                reason = "its digest does not match the entry before: one of the two was changed"
                if not checked and head.unchained > head.pruned:
                    reason = "its digest does not match the older entries, which have none: one of them was changed"
                return ChainVerdict(checked, head, entry.id, reason)
            checked, last, digest = checked + 1, entry.id, expected
        last = max(last, head.unchained)
        if last != head.number:
            return ChainVerdict(checked, head, last + 1, f"it is missing, and so are all entries up to {head.number}")
        if digest != head.digest and head.pruned != head.number:
            return ChainVerdict(checked, head, last, "its digest is not the one in the head of the chain")
        return await self._verify_newest(ChainVerdict(checked, head))

    async def _verify_newest(self, verdict: ChainVerdict) -> ChainVerdict:
        newest = await self._db.autocommit(lambda connection: connection.execute(_NEWEST).scalar_one())
        head = await self._db.autocommit(_head)
        if newest is not None and head is not None and newest > head.number:
            return replace(verdict, broken=head.number + 1, why="it was added after the end of the chain")
        return verdict

    async def read(self, *, after: int = 0) -> AsyncIterator[AuditEntry]:
        """Yield every entry above a number, oldest first, page by page."""
        while True:
            query = _ENTRY.where(audit.c.id > after).order_by(audit.c.id).limit(_PAGE)
            page = await self._db.autocommit(partial(_entries, query=query))
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
        """Entries with an id below `before`, newest first. `action` is a prefix. None does not filter."""
        matching: list[ColumnElement[bool]] = []
        if principal is not None:
            matching.append(audit.c.principal == principal)
        if action is not None:  # Not LIKE, which ignores case on SQLite.
            matching.append(func.substr(audit.c.action, 1, len(action)) == action)
        if since is not None:
            matching.append(audit.c.at >= since)
        if until is not None:
            matching.append(audit.c.at < until)
        if before is not None:
            matching.append(audit.c.id < before)
        query = _ENTRY.where(*matching).order_by(audit.c.id.desc()).limit(limit)
        return await self._db.autocommit(lambda connection: _entries(connection, query))

    def _locked_head(self, connection: Connection, *, room: int = 1) -> ChainHead:
        """Lock the head until the transaction ends, and return it.

        A changed head is marked as broken, and its number is followed by `room` free ones. Raises `Unavailable` if a
        newer secret key seals the head.
        """
        head = _head(connection, lock=True)
        if head is None or not self._is_sealed(head):
            return self._broken_head(connection, ChainHead(broken=head.broken if head else None), room)
        if head.sealed_by not in map(_key_name, self._keys):
            raise Unavailable(
                "The audit trail is sealed with a newer secret key than this process has.",
                remedy="Give this process the new key, and the previous one as ORCHESTRATOR_SECRET_KEY_FALLBACK.",
            )
        newest = connection.execute(_NEWEST).scalar_one() or head.pruned
        if head.broken is not None or max(newest, head.pruned) != head.number:
            return self._broken_head(connection, head, room)
        return head

    def _broken_head(self, connection: Connection, head: ChainHead, room: int) -> ChainHead:
        last = connection.execute(_ROOM, {"floor": head.pruned, "room": room}).scalar_one_or_none()
        number = head.number if last is None else last
        if head.broken is None:
            log.error("audit_chain_broken", entry=number + 1, advice="run `orchestrator audit verify`")
        return replace(head, number=number, broken=number + 1 if head.broken is None else head.broken)

    def _write_head(self, connection: Connection, head: ChainHead) -> None:
        head_with_key = replace(head, sealed_by=_key_name(self._keys[0]))
        sealed = fields_of(replace(head_with_key, seal=" ".join(_seal(key, head_with_key) for key in self._keys)))
        if not connection.execute(_WRITE_HEAD, sealed).rowcount:
            connection.execute(insert(audit_chain).values(id=1, **sealed))

    def _is_sealed(self, head: ChainHead) -> bool:
        seals = [seal.encode() for seal in head.seal.split()]
        return any(hmac.compare_digest(seal, _seal(key, head).encode()) for key in self._keys for seal in seals)


_NEWEST: Final = select(func.max(audit.c.id))
_LATER: Final = audit.alias()
# The highest number with enough free numbers after it: forged entries may have any number.
_ROOM: Final = (
    select(audit.c.id)
    .where(
        audit.c.id > bindparam("floor", type_=Integer),
        audit.c.id < _HIGHEST - bindparam("room", type_=Integer),
        ~exists().where(_LATER.c.id > audit.c.id, _LATER.c.id <= audit.c.id + bindparam("room", type_=Integer)),
    )
    .order_by(audit.c.id.desc())
    .limit(1)
)


def _seal(key: bytes, head: ChainHead) -> str:
    return hmac.new(key, head.content.encode(), hashlib.sha256).hexdigest()


def _key_name(key: bytes) -> str:
    return hmac.new(key, b"name", hashlib.sha256).hexdigest()[:16]


def _head(connection: Connection, *, lock: bool = False) -> ChainHead | None:
    """The head of the chain, or None if it is missing or unreadable because somebody bypassed the triggers."""
    row = connection.execute(_LOCKED_HEAD if lock else _HEAD).mappings().one_or_none()
    try:
        return None if row is None else ChainHead(**{column.name: _value(column, row) for column in _HEAD_FIELDS})
    except ValueError:
        return None


def _entries(connection: Connection, query: Select[Any]) -> list[AuditEntry]:
    return [_entry(row) for row in connection.execute(query).mappings()]


def _entry(row: RowMapping) -> AuditEntry:
    """An entry as stored. Unreadable values, written past the triggers, are replaced, and then no digest matches."""
    values: dict[str, Any] = {}
    unreadable = False
    for column in _FIELDS:
        try:
            values[column.name] = _value(column, row)
        except ValueError:
            values[column.name], unreadable = _SUBSTITUTES[_kind(column)], True
    return AuditEntry(**(values | {"digest": _UNREADABLE} if unreadable else values))


def _value(column: Column[Any], row: RowMapping) -> Any:
    """The value of a column that was read as text. Raises `ValueError` for text that the column's type cannot have."""
    text = row[column.name]
    if text is None:
        if column.nullable:
            return None
        raise ValueError(column.name)
    text = text.decode() if isinstance(text, bytes) else text
    if _kind(column) is datetime:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return int(text) if _kind(column) is int else text


def _kind(column: Column[Any]) -> type:
    return datetime if isinstance(column.type, UtcDateTime) else int if isinstance(column.type, Integer) else str
