"""The events of accounts, in the order in which they happened: what webhooks are sent, also if there is no webhook."""

import builtins
from datetime import datetime
from typing import Any, Final

from sqlalchemy import JSON, BigInteger, Column, Connection, String, Table, bindparam, func, select

from orchestrator.domain.webhooks import AccountEvent, WebhookEvent
from orchestrator.storage.database import Database
from orchestrator.storage.locks import lock_owner
from orchestrator.storage.moments import UtcDateTime
from orchestrator.storage.tables import metadata

# Written in the same transaction as their cause, so that a crash loses none.
account_events: Final = Table(
    "account_events",
    metadata,
    Column("owner", String, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("cause", String, nullable=False, unique=True),
    Column("event", String, nullable=False),
    Column("job_id", String),
    Column("data", JSON(none_as_null=True)),
    Column("created_at", UtcDateTime, nullable=False, index=True),
)

_ROW: Final = tuple(account_events.c[name] for name in AccountEvent.__dataclass_fields__)
_COLUMNS: Final = ("cause", "event", "job_id", "data", "created_at")
_THIS_OWNER: Final = bindparam("this_owner", type_=account_events.c.owner.type)
_LAST: Final = func.coalesce(func.max(account_events.c.number), 0)
_NEXT: Final = select(
    _THIS_OWNER, _LAST + 1, *(bindparam(f"new_{name}", type_=account_events.c[name].type) for name in _COLUMNS)
).where(account_events.c.owner == _THIS_OWNER)
_LAST_OF_OWNER: Final = select(_LAST).where(account_events.c.owner == _THIS_OWNER)
_AFTER: Final = (
    select(*_ROW)
    .where(account_events.c.owner == _THIS_OWNER, account_events.c.number > bindparam("this_number"))
    .order_by(account_events.c.number)
)


class AccountLog:
    """Adds events in the transactions of their causes."""

    def __init__(self, db: Database) -> None:
        new = db.insert(account_events).from_select(["owner", "number", *_COLUMNS], _NEXT)
        self._insert = new.on_conflict_do_nothing(index_elements=[account_events.c.cause])

    def add(
        self,
        connection: Connection,
        *,
        owner: str,
        event: WebhookEvent,
        cause: str,
        at: datetime,
        job_id: str | None = None,
        data: dict[str, Any] | None = None,
    ) -> None:
        """Add an event under the owner's next number; nothing if the cause has one.

        The owner is locked until the transaction ends. So numbers appear in their order, and a reader misses none.
        """
        lock_owner(connection, f"events of {owner}")
        values = {"cause": cause, "event": event, "job_id": job_id, "data": data, "created_at": at}
        parameters = {"this_owner": owner, **{f"new_{name}": value for name, value in values.items()}}
        connection.execute(self._insert, parameters).close()


class AccountEventRepository:
    """Events of accounts. Every method raises `Unavailable` if the database does not answer."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def last(self, owner: str) -> int:
        """The number of the owner's newest event; 0 without one."""
        parameters = {"this_owner": owner}
        return await self._db.autocommit(
            lambda connection: int(connection.execute(_LAST_OF_OWNER, parameters).scalar_one())
        )

    async def after(self, owner: str, number: int, limit: int) -> builtins.list[AccountEvent]:
        """The owner's events after a number, oldest first."""
        query, parameters = _AFTER.limit(limit), {"this_owner": owner, "this_number": number}
        rows = await self._db.autocommit(lambda connection: connection.execute(query, parameters).mappings().all())
        return [AccountEvent(**row) for row in rows]
