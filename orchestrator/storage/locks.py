"""What only one transaction at a time may do for an owner: count what the owner has, and add to it."""

import asyncio
from typing import Final
from weakref import WeakValueDictionary

from sqlalchemy import Connection, String, bindparam, func, select

_LOCK: Final = select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("this_owner", type_=String()), 0)))


def lock_owner(connection: Connection, owner: str) -> None:
    """Hold the owner until the transaction ends: of two processes that count and add, the second counts the first's."""
    # SQLite's write transactions do not overlap.
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCK, {"this_owner": owner}).close()


class Turns:
    """The owners' turns in this process. Transactions of one owner wait here, where they occupy no connection."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, owner: str) -> asyncio.Lock:
        """The owner's turn, kept while anybody has it or waits for it."""
        return self._locks.setdefault(owner, asyncio.Lock())
