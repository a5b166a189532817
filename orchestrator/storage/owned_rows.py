"""Limits of rows that belong to owners: how many of a kind, across processes, and how many bytes in a list."""

from collections.abc import Sequence
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import ColumnElement, Connection, Table, func, insert, select

from orchestrator.domain.rows import limit_error

_BATCH: Final = 16  # Rows per query, so that few are read beyond the limit.


def add_row(
    connection: Connection,
    table: Table,
    row: dict[str, Any],
    *counted: ColumnElement[bool],
    most: int,
    kind: str,
    remedy: str,
) -> None:
    """Insert a row. The transaction must hold the owner's lock.

    Raises `InvalidInput` if the owner already has `most` rows that match the `counted` conditions.
    """
    count = select(func.count()).select_from(table).where(table.c.owner == row["owner"], *counted)
    used = connection.execute(count).scalar_one()
    if used >= most:
        raise limit_error(kind, most, used, remedy)
    connection.execute(insert(table), row)


def bodies_of(
    connection: Connection, table: Table, column: str, ids: Sequence[str], *, most_bytes: int
) -> dict[str, Any]:
    """A large column of the first of these rows, by id, until their JSON reaches `most_bytes` in total."""
    bodies: dict[str, Any] = {}
    bytes_left = most_bytes
    for first in range(0, len(ids), _BATCH):
        batch = ids[first : first + _BATCH]
        query = select(table.c.id, table.c[column]).where(table.c.id.in_(batch))
        values = {row.id: row[1] for row in connection.execute(query)}
        for id in batch:
            bytes_left -= len(to_json(values.get(id)))
            if bytes_left < 0:
                return bodies
            bodies[id] = values.get(id)
    return bodies
