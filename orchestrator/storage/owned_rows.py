"""Rows that owners have: only so many of each, however many processes add at once, and only so much in one list."""

from collections.abc import Sequence
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import ColumnElement, Connection, Table, func, insert, select

from orchestrator.domain.rows import full

_AT_ONCE: Final = 16


def add_row(
    connection: Connection,
    table: Table,
    row: dict[str, Any],
    *counted: ColumnElement[bool],
    most: int,
    kind: str,
    remedy: str,
) -> None:
    """Write a row of an owner's in a transaction of that owner.

    Raises `InvalidInput` if its owner has `most` that are `counted`.
    """
    had = select(func.count()).select_from(table).where(table.c.owner == row["owner"], *counted)
    used = connection.execute(had).scalar_one()
    if used >= most:
        raise full(kind, most, used, remedy)
    connection.execute(insert(table), row)


def bodies_of(
    connection: Connection, table: Table, column: str, ids: Sequence[str], *, most_bytes: int
) -> dict[str, Any]:
    """A large column of the first of these rows, as many as have `most_bytes` in all as JSON; by id."""
    bodies: dict[str, Any] = {}
    left = most_bytes
    for first in range(0, len(ids), _AT_ONCE):
        some = ids[first : first + _AT_ONCE]
        wanted = select(table.c.id, table.c[column]).where(table.c.id.in_(some))
        found = {row.id: row[1] for row in connection.execute(wanted)}
        for id in some:
            left -= len(to_json(found.get(id)))
            if left < 0:
                return bodies
            bodies[id] = found.get(id)
    return bodies
