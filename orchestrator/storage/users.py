"""Rows of users and of their refresh tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, RowMapping, Update, delete, exists, func, select, update

from orchestrator.storage.database import Database
from orchestrator.storage.tables import refresh_tokens, users


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A user. `id` is the account: a later user of the same name gets another id and does not see these jobs.

    `password_hash` never leaves the services.
    """

    id: str
    username: str
    password_hash: str
    roles: Sequence[str]
    created_at: datetime


_COLUMNS: Final = tuple(users.c[name] for name in UserRecord.__dataclass_fields__)


class UserRepository:
    """The users of the index. Every method raises `Unavailable` if the database does not answer."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._add = (
            db.insert(users).on_conflict_do_nothing(index_elements=[users.c.username]).returning(users.c.username)
        )

    async def add(self, user: UserRecord) -> bool:
        """Insert a user. False if the name is taken."""
        row = {name: getattr(user, name) for name in UserRecord.__dataclass_fields__}
        return await self._db.transaction(lambda connection: connection.execute(self._add, row).first() is not None)

    async def get(self, username: str) -> UserRecord | None:
        """A user, or None."""
        query = select(*_COLUMNS).where(users.c.username == username)
        row = await self._db.autocommit(lambda connection: connection.execute(query).mappings().first())
        return None if row is None else _user(row)

    async def account(self, account: str, family: str) -> UserRecord | None:
        """The user with this id, or None. Also None if the sign-in `family` has ended."""
        query = select(*_COLUMNS).where(users.c.id == account, _is_live(family))
        row = await self._db.autocommit(lambda connection: connection.execute(query).mappings().first())
        return None if row is None else _user(row)

    async def of_account(self, account: str) -> UserRecord | None:
        """The user with this id, or None."""
        query = select(*_COLUMNS).where(users.c.id == account)
        row = await self._db.autocommit(lambda connection: connection.execute(query).mappings().first())
        return None if row is None else _user(row)

    async def is_live(self, family: str) -> bool:
        """Whether a sign-in has not ended."""
        query = select(_is_live(family))
        return await self._db.autocommit(lambda connection: bool(connection.execute(query).scalar_one()))

    async def list(self, *, limit: int, offset: int) -> tuple[list[UserRecord], int]:
        """One page of users by name, and the number of all."""
        page = select(*_COLUMNS).order_by(users.c.username).limit(limit).offset(offset)

        def read(connection: Connection) -> tuple[list[UserRecord], int]:
            total = connection.execute(select(func.count()).select_from(users)).scalar_one()
            return [_user(row) for row in connection.execute(page).mappings()], total

        return await self._db.autocommit(read)

    async def remove(self, username: str, *, at: datetime) -> str | None:
        """Delete a user, revoke its refresh tokens, and return its account. None if there is no such user."""

        def write(connection: Connection) -> str | None:
            user = connection.execute(delete(users).where(users.c.username == username).returning(users.c.id)).first()
            if user is None:
                return None
            is_granted = refresh_tokens.c.subject == user.id
            connection.execute(_revoke(is_granted, at))
            return str(user.id)

        return await self._db.transaction(write)

    async def end(self, family: str, *, at: datetime) -> None:
        """End a sign-in: revoke all of its refresh tokens."""

        def write(connection: Connection) -> None:
            connection.execute(_revoke(refresh_tokens.c.family == family, at))

        await self._db.transaction(write, owner=_family_lock(family))

    async def grant(self, token: str, *, family: str, subject: str, expires_at: datetime) -> None:
        """Record a new refresh token by its id. `family` is its sign-in, `subject` its account."""
        row = {"id": token, "family": family, "subject": subject, "expires_at": expires_at}
        await self._db.autocommit(lambda connection: connection.execute(refresh_tokens.insert(), row).close())

    async def exchange(self, token: str, *, successor: str, expires_at: datetime, at: datetime) -> bool:
        """Use a refresh token once, and record its successor.

        False if the token is unknown, expired, revoked or used before. In all cases but the first, the whole family is
        revoked, because somebody may have a copy.
        """
        query = select(refresh_tokens.c.family, refresh_tokens.c.subject).where(refresh_tokens.c.id == token)
        record = await self._db.autocommit(lambda connection: connection.execute(query).first())
        if record is None:
            return False

        def write(connection: Connection) -> bool:
            is_usable = (
                refresh_tokens.c.id == token,
                refresh_tokens.c.used_at.is_(None),
                refresh_tokens.c.revoked_at.is_(None),
                refresh_tokens.c.expires_at > at,
            )
            if not connection.execute(update(refresh_tokens).where(*is_usable).values(used_at=at)).rowcount:
                connection.execute(_revoke(refresh_tokens.c.family == record.family, at))
                return False
            row: dict[str, Any] = {"id": successor, "family": record.family, "subject": record.subject}
            connection.execute(refresh_tokens.insert(), {**row, "expires_at": expires_at})
            return True

        # With the family's lock, `end` waits for this transaction and revokes the successor too.
        return await self._db.transaction(write, owner=_family_lock(record.family))


def _is_live(family: str) -> ColumnElement[bool]:
    return exists().where(refresh_tokens.c.family == family, refresh_tokens.c.revoked_at.is_(None))


def _revoke(tokens: ColumnElement[bool], at: datetime) -> Update:
    return update(refresh_tokens).where(tokens, refresh_tokens.c.revoked_at.is_(None)).values(revoked_at=at)


def _family_lock(family: str) -> str:
    return f"sign-in {family}"


def _user(row: RowMapping) -> UserRecord:
    return UserRecord(**{name: row[name] for name in UserRecord.__dataclass_fields__})
