"""Run the Alembic migrations that ship with the product."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, column, inspect, select, table, text

from orchestrator.domain.errors import Misconfigured
from orchestrator.storage.new_index import create_tables

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE: Final = "orchestrator_schema_version"
_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x6F7263686A6F6273  # "orchjobs" in ASCII. Any number that no other program uses as an advisory lock.


_FOREIGN: Final = "The database {} belongs to another program: it has tables ({}), but none of orchestrator's."
_NEWER: Final = "The job index {} was created by a newer release of orchestrator."


def migrate(connection: Connection, begin: Callable[[Connection], None] | None = None) -> None:
    """Upgrade the schema to the newest version in one transaction. Does nothing if it is the newest already.

    If several processes call this, one migrates and the others wait: for an advisory lock on PostgreSQL, for the write
    lock on SQLite, which `Database` takes at the beginning of each transaction. `begin` begins the chain of the audit
    trail if the migration creates it.
    Raises `Misconfigured` for a schema of a newer release or the database of another program, and errors of SQLAlchemy.
    """
    place = connection.engine.url.render_as_string(hide_password=True)
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    foreign = foreign_tables(connection)
    if foreign:
        names = ", ".join([*foreign[:3], "…"] if len(foreign) > 3 else foreign)
        raise Misconfigured(
            _FOREIGN.format(place, names), remedy="Name an empty database in ORCHESTRATOR_DATABASE_URL."
        )
    if schema_version(connection) == versions()[-1]:
        return
    has_chain = inspect(connection).has_table("audit_chain")
    if connection.dialect.name == "sqlite" and not inspect(connection).get_table_names():
        create_tables(connection)
    if schema_version(connection) != versions()[-1]:
        _upgrade(connection, place)
    if begin is not None and not has_chain:
        begin(connection)


def _upgrade(connection: Connection, place: str) -> None:
    # Alembic takes longer to import than a process otherwise needs for its index, and most starts find nothing to do.
    from alembic import command  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    try:
        command.upgrade(migration_config(connection), "head")
    except CommandError as error:
        raise Misconfigured(
            _NEWER.format(place), remedy="Run that release or a newer one, or restore an older backup of the index."
        ) from error


def foreign_tables(connection: Connection) -> list[str]:
    """The tables of another program's database: it has tables, but was never migrated by us. Else an empty list."""
    tables = sorted(inspect(connection).get_table_names())
    return [] if VERSION_TABLE in tables else tables


def schema_version(connection: Connection) -> str | None:
    """The version of the schema, such as "0007"; None if it was never migrated."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(select(column("version_num")).select_from(table(VERSION_TABLE))).scalar_one_or_none()


def versions() -> list[str]:
    """The versions of all migrations, from the names of their files: `v0007_added_column.py` makes version "0007"."""
    files = (_MIGRATIONS / "versions").glob("v*.py")
    return sorted(file.stem.partition("_")[0].removeprefix("v") for file in files)


def migration_config(connection: Connection) -> "Config":
    """Alembic's configuration for this package's migrations over an open connection."""
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
