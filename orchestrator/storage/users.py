"""Users and the refresh tokens that they were given."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, RowMapping, Update, delete, exists, func, select, update

from orchestrator.storage.database import Database
from orchestrator.storage.tables import refresh_tokens, users


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A user as stored. `id` is the account, whose jobs no later user of the same name sees. `password_hash` never
    leaves the services.
    """

    id: str
    username: str
    password_hash: str
    roles: Sequence[str]
    created_at: datetime


_COLUMNS: Final = tuple(users.c[name] for name in UserRecord.__dataclass_fields__)


class UserRepository:
    """Every method raises `Unavailable` when the database does not answer."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._add = (
            db.insert(users).on_conflict_do_nothing(index_elements=[users.c.username]).returning(users.c.username)
        )

    async def add(self, user: UserRecord) -> bool:
        """Store a new user; False when the name is taken."""
        row = {name: getattr(user, name) for name in UserRecord.__dataclass_fields__}
        return await self._db.transaction(lambda connection: connection.execute(self._add, row).first() is not None)

    async def get(self, username: str) -> UserRecord | None:
        """A user, or None."""
        wanted = select(*_COLUMNS).where(users.c.username == username)
        found = await self._db.autocommit(lambda connection: connection.execute(wanted).mappings().first())
        return None if found is None else _user(found)

    async def account(self, account: str, family: str) -> UserRecord | None:
        """The user with this id, or None; also None once the sign-in that a token descends from is void."""
        wanted = select(*_COLUMNS).where(users.c.id == account, _live(family))
        found = await self._db.autocommit(lambda connection: connection.execute(wanted).mappings().first())
        return None if found is None else _user(found)

    async def is_live(self, family: str) -> bool:
        """Whether a sign-in has neither been ended nor been voided."""
        wanted = select(_live(family))
        return await self._db.autocommit(lambda connection: bool(connection.execute(wanted).scalar_one()))

    async def list(self, *, limit: int, offset: int) -> tuple[list[UserRecord], int]:
        """One page of users by name, and how many there are in all."""
        page = select(*_COLUMNS).order_by(users.c.username).limit(limit).offset(offset)

        def read(connection: Connection) -> tuple[list[UserRecord], int]:
            total = connection.execute(select(func.count()).select_from(users)).scalar_one()
            return [_user(found) for found in connection.execute(page).mappings()], total

        return await self._db.autocommit(read)

    async def remove(self, username: str, *, at: datetime) -> str | None:
        """Forget a user, void the refresh tokens given out, and return the account; None when there is no such user."""

        def write(connection: Connection) -> str | None:
            gone = connection.execute(delete(users).where(users.c.username == username).returning(users.c.id)).first()
            if gone is None:
                return None
            given_out = refresh_tokens.c.subject == gone.id
            connection.execute(_void(given_out, at))
            return str(gone.id)

        return await self._db.transaction(write)

    async def end(self, family: str, *, at: datetime) -> None:
        """Void every token of a sign-in."""

        def write(connection: Connection) -> None:
            connection.execute(_void(refresh_tokens.c.family == family, at))

        await self._db.transaction(write, owner=_family_lock(family))

    async def grant(self, token: str, *, family: str, subject: str, expires_at: datetime) -> None:
        """Note the id of a refresh token that is given out. `family` is the sign-in that it descends from,
        `subject` the account.
        """
        row = {"id": token, "family": family, "subject": subject, "expires_at": expires_at}
        await self._db.autocommit(lambda connection: connection.execute(refresh_tokens.insert(), row).close())

    async def exchange(self, token: str, *, successor: str, expires_at: datetime, at: datetime) -> bool:
        """Use up a refresh token and note its successor.

        False when it is not known, void, or used before: then somebody has a copy, and its whole family is void.
        """

        known_token = select(refresh_tokens.c.family, refresh_tokens.c.subject).where(refresh_tokens.c.id == token)
        known = await self._db.autocommit(lambda connection: connection.execute(known_token).first())
        if known is None:
            return False

        def write(connection: Connection) -> bool:
            fresh = (
                refresh_tokens.c.id == token,
                refresh_tokens.c.used_at.is_(None),
                refresh_tokens.c.revoked_at.is_(None),
                refresh_tokens.c.expires_at > at,
            )
            if not connection.execute(update(refresh_tokens).where(*fresh).values(used_at=at)).rowcount:
                connection.execute(_void(refresh_tokens.c.family == known.family, at))
                return False
            row: dict[str, Any] = {"id": successor, "family": known.family, "subject": known.subject}
            connection.execute(refresh_tokens.insert(), {**row, "expires_at": expires_at})
            return True

        # Whoever ends the sign-in meanwhile waits, and then finds the successor, too.
        return await self._db.transaction(write, owner=_family_lock(known.family))


def _live(family: str) -> ColumnElement[bool]:
    return exists().where(refresh_tokens.c.family == family, refresh_tokens.c.revoked_at.is_(None))


def _void(tokens: ColumnElement[bool], at: datetime) -> Update:
    return update(refresh_tokens).where(tokens, refresh_tokens.c.revoked_at.is_(None)).values(revoked_at=at)


def _family_lock(family: str) -> str:
    return f"sign-in {family}"


def _user(found: RowMapping) -> UserRecord:
    return UserRecord(**{name: found[name] for name in UserRecord.__dataclass_fields__})
