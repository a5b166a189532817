"""Run the Alembic migrations that ship with the product."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

VERSION_TABLE: Final = "orchestrator_schema_version"
_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x6F7263686A6F6273  # "orchjobs": any number that no other program uses as an advisory lock.


def migrate(connection: Connection) -> None:
    """Bring the schema to the newest version in one transaction; nothing happens when it is there already.

    Of several processes at once, one migrates and the others wait: for an advisory lock on PostgreSQL, for the write
    lock on SQLite, which `Database` takes at the beginning of each transaction. Raises SQLAlchemy's errors.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    command.upgrade(migration_config(connection), "head")


def migration_config(connection: Connection) -> Config:
    """Alembic's configuration for this package's migrations over an open connection."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
