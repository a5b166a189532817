"""Locks per owner, for transactions that count an owner's rows and add to them."""

import asyncio
from typing import Final
from weakref import WeakValueDictionary

from sqlalchemy import Connection, String, bindparam, func, select

_LOCK: Final = select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("this_owner", type_=String()), 0)))


def lock_owner(connection: Connection, owner: str) -> None:
    """Lock an owner until the transaction ends, so that another process counts what this one adds."""
    # Write transactions of SQLite do not overlap.
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCK, {"this_owner": owner}).close()


class Turns:
    """One lock per owner in this process. Transactions wait here, where they use no connection."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, owner: str) -> asyncio.Lock:
        """The lock of an owner, which exists while a task holds it or waits for it."""
        return self._locks.setdefault(owner, asyncio.Lock())
