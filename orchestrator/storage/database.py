"""One engine for SQLite or PostgreSQL, and the one place where database faults become domain errors."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

from pydantic_core import PydanticSerializationError, to_json
from sqlalchemy import URL, Connection, Table, event, exc, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from orchestrator.domain.errors import InvalidInput, Unavailable
from orchestrator.storage.migrate import migrate

BUSY_TIMEOUT_MS: Final = 5000
DEADLINE: Final = 6.0  # Seconds: longer than SQLite waits for a lock, so that the lock's own error is seen first.
_POOL_SIZE: Final = 10
_ENCODING_FAULTS: Final = (PydanticSerializationError, UnicodeEncodeError)
_NOT_STORABLE: Final = "The data holds a character that cannot be stored."
# Options of a connection whose statements stand alone. SQLite's has a mark of our own: to switch the isolation level
# and back costs three trips to the connection's thread.
_SQLITE_SINGLE: Final = {"single_statements": True}
_POSTGRESQL_SINGLE: Final = {"isolation_level": "AUTOCOMMIT"}


@contextmanager
def database_faults() -> Iterator[None]:
    """Turn the faults of a database into `Unavailable`, and data that it cannot hold into `InvalidInput`.

    A broken constraint stays as it is: it is a defect of this product.
    """
    try:
        yield
    except exc.DataError as error:
        raise InvalidInput(_NOT_STORABLE) from error
    except exc.IntegrityError:
        raise
    except (exc.DBAPIError, exc.TimeoutError, TimeoutError, OSError) as error:
        raise Unavailable("The job index does not answer.", fault=type(error).__name__) from error
    except (exc.StatementError, *_ENCODING_FAULTS) as error:
        fault = error.orig if isinstance(error, exc.StatementError) else error
        if not isinstance(fault, _ENCODING_FAULTS):
            raise
        raise InvalidInput(_NOT_STORABLE) from error


class Database:
    """The job index's database. `url` is a SQLAlchemy URL: `sqlite+aiosqlite:///file` or `postgresql+psycopg://…`.

    Nothing is opened before the first use.
    """

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self.engine = _sqlite_engine(self._url) if self._is_sqlite else _postgresql_engine(self._url)
        self._autocommit = self.engine.execution_options(**(_SQLITE_SINGLE if self._is_sqlite else _POSTGRESQL_SINGLE))

    @property
    def _is_sqlite(self) -> bool:
        return self._url.get_backend_name() == "sqlite"

    async def migrate(self) -> None:
        """Bring the schema to the newest version; safe to run again, and in many processes at once.

        Raises `Unavailable`.
        """
        with database_faults():
            if self._is_sqlite and self._url.database:
                Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)
            await migrate(self.engine)

    async def ping(self) -> None:
        """Ask the database for a sign of life. Raises `Unavailable`."""
        async with self.autocommit() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close every connection. The database can be used again afterwards."""
        await self.engine.dispose()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncConnection]:
        """One write transaction: committed at the end of the block, rolled back on an error.

        Raises `Unavailable`, also after `DEADLINE` seconds; `InvalidInput`.
        """
        with database_faults():
            async with asyncio.timeout(DEADLINE), self.engine.begin() as connection:
                yield connection

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator[AsyncConnection]:
        """A connection on which each statement stands alone: one round trip for a read or a single write.

        Raises as `session` does.
        """
        with database_faults():
            async with asyncio.timeout(DEADLINE), self._autocommit.connect() as connection:
                yield connection

    def insert(self, table: Table) -> postgresql.Insert | sqlite.Insert:
        """An INSERT that knows ON CONFLICT, in the words of this database."""
        return sqlite.insert(table) if self._is_sqlite else postgresql.insert(table)


def _json(value: Any) -> str:
    """JSON of plain data or of a pydantic model; NaN and the infinities, which JSON lacks, become null."""
    return to_json(value, inf_nan_mode="null").decode()


def _postgresql_engine(url: URL) -> AsyncEngine:
    return create_async_engine(
        url,
        hide_parameters=True,
        json_serializer=_json,
        pool_size=_POOL_SIZE,
        max_overflow=_POOL_SIZE,
        pool_timeout=DEADLINE,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 5},
    )


def _sqlite_engine(url: URL) -> AsyncEngine:
    # One connection: SQLite writes one at a time anyway, and the pool's queue is fair where the wait for a lock is not.
    engine = create_async_engine(
        url, hide_parameters=True, json_serializer=_json, pool_size=1, max_overflow=0, pool_timeout=DEADLINE
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # The driver begins nothing by itself.
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout = {BUSY_TIMEOUT_MS}",
            "journal_mode = WAL",
            "synchronous = NORMAL",
            "foreign_keys = ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def take_write_lock(connection: Connection) -> None:
        # A transaction that reads first and writes later is refused, not made to wait, when another one wrote between.
        if not connection.get_execution_options().get("single_statements"):
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
