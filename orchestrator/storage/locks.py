"""What only one process at a time may do for an owner: count what the owner has, and add to it."""

from typing import Final

from sqlalchemy import Connection, String, bindparam, func, select

_LOCK: Final = select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("this_owner", type_=String()), 0)))


def lock_owner(connection: Connection, owner: str) -> None:
    """Hold the owner until the transaction ends: of two processes that count and add, the second counts the first's."""
    # SQLite's write transactions do not overlap.
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCK, {"this_owner": owner}).close()
