"""Run the Alembic migrations that ship with the product."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, text

from orchestrator.domain.errors import OrchestratorError

VERSION_TABLE: Final = "orchestrator_schema_version"
_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x6F7263686A6F6273  # "orchjobs": any number that no other program uses as an advisory lock.


class NewerSchema(OrchestratorError):
    """This release does not know the schema that it finds."""

    code = "newer_schema"


def migrate(connection: Connection) -> None:
    """Bring the schema to the newest version in one transaction; nothing happens when it is there already.

    Of several processes at once, one migrates and the others wait: for an advisory lock on PostgreSQL, for the write
    lock on SQLite, which `Database` takes at the beginning of each transaction.
    Raises `NewerSchema`, and SQLAlchemy's errors.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    try:
        command.upgrade(migration_config(connection), "head")
    except CommandError as error:
        raise NewerSchema(
            "The job index was made by a newer release: run that release, or restore a backup of the index."
        ) from error


def migration_config(connection: Connection) -> Config:
    """Alembic's configuration for this package's migrations over an open connection."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
