"""Rows of API keys and of their secrets, which are stored as keyed digests (D-011 to D-013)."""

import builtins
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, bindparam, delete, func, insert, null, or_, select, update

from orchestrator.domain.access import ApiKey, Scope
from orchestrator.domain.pages import Position
from orchestrator.domain.rows import MAX_KEYS
from orchestrator.storage import keyset
from orchestrator.storage.database import Database
from orchestrator.storage.owned_rows import add_row
from orchestrator.storage.tables import api_key_secrets as secrets
from orchestrator.storage.tables import api_keys as keys


@dataclass(frozen=True, slots=True)
class KeyedDigest:
    """A digest, and the check value of the secret key that made it."""

    value: str
    key: str


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """A secret of a key: its keyed digest, and its expiry if a newer secret has replaced it."""

    key: ApiKey
    digest: str
    expires_at: datetime | None


_FIELDS: Final = tuple(keys.c[name] for name in ApiKey.__dataclass_fields__ if name != "prefix")
_CURRENT: Final = (secrets.c.key_id == keys.c.id) & secrets.c.expires_at.is_(null())
_KEYS: Final = select(*_FIELDS, secrets.c.prefix).select_from(keys.join(secrets, _CURRENT))

# The first request of every caller needs it. Building the statement costs more than running it.
_FIND: Final = (
    select(*_FIELDS, secrets.c.prefix, secrets.c.digest, secrets.c.expires_at.label("secret_expires_at"))
    .select_from(keys.join(secrets, secrets.c.key_id == keys.c.id))
    .where(secrets.c.prefix == bindparam("this_prefix"))
)


class KeyRepository:
    """The API keys of the index. Every method raises `Unavailable` if the database does not answer."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, key: ApiKey, digest: KeyedDigest) -> None:
        """Insert a key and its secret. Raises `InvalidInput` if its owner already has `MAX_KEYS` valid keys."""
        row = {field.name: getattr(key, field.name) for field in _FIELDS} | {"scopes": _sorted_scopes(key.scopes)}

        valid = (keys.c.revoked_at.is_(null()), or_(keys.c.expires_at.is_(null()), keys.c.expires_at > key.created_at))

        def write(connection: Connection) -> None:
            add_row(connection, keys, row, *valid, most=MAX_KEYS, kind="keys", remedy="revoke one first")
            connection.execute(insert(secrets), _secret(key.id, key.prefix, digest, key.created_at))

        await self._db.transaction(write, owner=key.owner)

    async def find(self, prefix: str) -> StoredSecret | None:
        """The secret with a prefix, and its key, or None. The caller checks whether it is valid."""
        this = {"this_prefix": prefix}
        row = await self._db.autocommit(lambda connection: connection.execute(_FIND, this).mappings().first())
        return None if row is None else StoredSecret(_key(row), row["digest"], row["secret_expires_at"])

    async def prefixes(self, most: int) -> frozenset[str]:
        """The prefixes of the `most` newest secrets."""
        newest = select(secrets.c.prefix).order_by(secrets.c.created_at.desc()).limit(most)
        return await self._db.autocommit(lambda connection: frozenset(connection.execute(newest).scalars()))

    async def get(self, key_id: str) -> ApiKey | None:
        """A key, or None."""
        query = _KEYS.where(keys.c.id == key_id)
        row = await self._db.autocommit(lambda connection: connection.execute(query).mappings().first())
        return None if row is None else _key(row)

    async def list(
        self, *, limit: int, offset: int, after: Position | None = None
    ) -> tuple[builtins.list[ApiKey], int]:
        """One page of keys, newest first, and the number of all."""
        page = _KEYS.order_by(keys.c.created_at.desc(), keys.c.id.desc()).limit(limit).offset(offset)
        if after is not None:
            page = page.where(keyset.after(after, keys.c.created_at, keys.c.id, newest_first=True))

        def read(connection: Connection) -> tuple[builtins.list[ApiKey], int]:
            total = connection.execute(select(func.count()).select_from(keys)).scalar_one()
            return [_key(row) for row in connection.execute(page).mappings()], total

        return await self._db.autocommit(read)

    async def change(self, key_id: str, **values: Any) -> bool:
        """Change columns of a key. False if there is no such key, or it is revoked."""
        if "scopes" in values:
            values["scopes"] = _sorted_scopes(values["scopes"])
        change = update(keys).where(keys.c.id == key_id, keys.c.revoked_at.is_(null())).values(**values)
        return await self._db.autocommit(lambda connection: connection.execute(change).rowcount > 0)

    async def rotate(self, key_id: str, *, prefix: str, digest: KeyedDigest, at: datetime, until: datetime) -> bool:
        """Give a key a new secret. The previous one is valid `until` a time; older ones are deleted.

        False if there is no such key, or it is revoked.
        """
        lock = select(keys.c.id).where(keys.c.id == key_id, keys.c.revoked_at.is_(null())).with_for_update()
        replaced = delete(secrets).where(secrets.c.key_id == key_id, secrets.c.expires_at.is_not(null()))
        current = update(secrets).where(secrets.c.key_id == key_id).values(expires_at=until)

        def write(connection: Connection) -> bool:
            if connection.execute(lock).first() is None:
                return False
            connection.execute(replaced)
            connection.execute(current)
            connection.execute(insert(secrets), _secret(key_id, prefix, digest, at))
            return True

        return await self._db.transaction(write)

    async def digested_otherwise(self, key: str, *, unsaid: str, at: datetime) -> builtins.list[ApiKey]:
        """Active keys whose newest digest was not made with the secret key of this check value, last used first.

        A digest that does not name its secret key was made with `unsaid`.
        """
        active = keys.c.revoked_at.is_(null()), or_(keys.c.expires_at.is_(null()), keys.c.expires_at > at)
        query = _KEYS.where(func.coalesce(secrets.c.digest_key, unsaid) != key, *active)
        ordered = query.order_by(func.coalesce(keys.c.last_used_at, keys.c.created_at).desc(), keys.c.id)
        rows = await self._db.autocommit(lambda connection: connection.execute(ordered).mappings().all())
        return [_key(row) for row in rows]

    async def redigested(self, prefix: str, old: str, new: KeyedDigest) -> None:
        """Replace the digest of a secret if it is still `old`."""
        change = update(secrets).where(secrets.c.prefix == prefix, secrets.c.digest == old)
        values = {"digest": new.value, "digest_key": new.key}
        await self._db.autocommit(lambda connection: connection.execute(change, values).close())

    async def used(self, key_id: str, *, at: datetime, unless_since: datetime) -> None:
        """Record the use of a key, unless one was recorded since a time."""
        long_ago = or_(keys.c.last_used_at.is_(null()), keys.c.last_used_at <= unless_since)
        note = update(keys).where(keys.c.id == key_id, long_ago).values(last_used_at=at)
        await self._db.autocommit(lambda connection: connection.execute(note).close())


def _sorted_scopes(scopes: frozenset[Scope]) -> Sequence[str]:
    return [scope for scope in Scope if scope in scopes]


def _secret(key_id: str, prefix: str, digest: KeyedDigest, at: datetime) -> dict[str, Any]:
    values = {"digest": digest.value, "digest_key": digest.key}
    return {"prefix": prefix, "key_id": key_id, "created_at": at, "expires_at": None, **values}


def _key(row: RowMapping) -> ApiKey:
    values = {name: row[name] for name in ApiKey.__dataclass_fields__}
    return ApiKey(**values | {"scopes": frozenset(Scope(word) for word in row["scopes"])})
