"""Creates the tables of a new SQLite index from one text: all migrations, one after another, take 0.3 s."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

SCHEMA: Final = Path(__file__).parent / "migrations" / "newest.sqlite.sql"


def create_tables(connection: Connection) -> None:
    """Create what all migrations would have made of an empty database. `tests.storage.schema` writes the text."""
    for statement in _statements(SCHEMA.read_text()):
        connection.exec_driver_sql(statement)


def _statements(script: str) -> Iterator[str]:
    lines = list[str]()
    for line in script.splitlines():
        lines.append(line)
        if sqlite3.complete_statement(statement := "\n".join(lines)):
            yield statement
            lines.clear()
