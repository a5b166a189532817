"""Users and the refresh tokens that they were given."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, delete, func, select, update

from orchestrator.storage.database import Database
from orchestrator.storage.tables import refresh_tokens, users


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A user as stored. `password_hash` never leaves the services."""

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

    async def list(self, *, limit: int, offset: int) -> tuple[list[UserRecord], int]:
        """One page of users by name, and how many there are in all."""
        page = select(*_COLUMNS).order_by(users.c.username).limit(limit).offset(offset)

        def read(connection: Connection) -> tuple[list[UserRecord], int]:
            total = connection.execute(select(func.count()).select_from(users)).scalar_one()
            return [_user(found) for found in connection.execute(page).mappings()], total

        return await self._db.autocommit(read)

    async def remove(self, username: str, *, at: datetime) -> bool:
        """Forget a user and void the refresh tokens given out; False when there is none."""

        def write(connection: Connection) -> bool:
            connection.execute(
                update(refresh_tokens)
                .where(refresh_tokens.c.subject == username, refresh_tokens.c.revoked_at.is_(None))
                .values(revoked_at=at)
            )
            return connection.execute(delete(users).where(users.c.username == username)).rowcount > 0

        return await self._db.transaction(write)

    async def grant(self, token: str, *, family: str, subject: str, expires_at: datetime) -> None:
        """Note the id of a refresh token that is given out. `family` is the login that it descends from."""
        row = {"id": token, "family": family, "subject": subject, "expires_at": expires_at}
        await self._db.autocommit(lambda connection: connection.execute(refresh_tokens.insert(), row).close())

    async def exchange(self, token: str, *, successor: str, expires_at: datetime, at: datetime) -> bool:
        """Use up a refresh token and note its successor.

        False when it is not known, void, or used before: then somebody has a copy, and its whole family is void.
        """

        def write(connection: Connection) -> bool:
            fresh = (
                refresh_tokens.c.id == token,
                refresh_tokens.c.used_at.is_(None),
                refresh_tokens.c.revoked_at.is_(None),
                refresh_tokens.c.expires_at > at,
            )
            used = connection.execute(update(refresh_tokens).where(*fresh).values(used_at=at)).rowcount
            known = connection.execute(select(refresh_tokens).where(refresh_tokens.c.id == token)).mappings().first()
            if known is None:
                return False
            if not used:
                connection.execute(
                    update(refresh_tokens).where(refresh_tokens.c.family == known["family"]).values(revoked_at=at)
                )
                return False
            row: dict[str, Any] = {"id": successor, "family": known["family"], "subject": known["subject"]}
            connection.execute(refresh_tokens.insert(), {**row, "expires_at": expires_at})
            return True

        return await self._db.transaction(write)


def _user(found: RowMapping) -> UserRecord:
    return UserRecord(**{name: found[name] for name in UserRecord.__dataclass_fields__})
