"""One engine for SQLite or PostgreSQL, and the one place where database faults become domain errors."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Cursor, OperationalError
from typing import Any, Final, Protocol, TypeVar

import structlog
from pydantic_core import PydanticSerializationError
from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, exc, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from orchestrator.domain.errors import SLOW, InvalidInput, Misconfigured, Unavailable
from orchestrator.network.circuit_breaker import CircuitBreaker
from orchestrator.security.data_files import make_private
from orchestrator.storage.faults import NO_DATABASE, DatabaseFault, described
from orchestrator.storage.locks import Turns, lock_owner
from orchestrator.storage.migrate import migrate
from orchestrator.storage.packed import to_text

BUSY_TIMEOUT_MS: Final = 5000
DEADLINE: Final = 6.0  # Seconds: longer than SQLite waits for a lock, so that the lock's own error is seen first.
APPLICATION: Final = "orchestrator"
_BUSY: Final = ("SQLITE_BUSY", "SQLITE_LOCKED")
_CONNECT_TIMEOUT: Final = 2  # Seconds; libpq takes no less.
_ENCODING_FAULTS: Final = (PydanticSerializationError, UnicodeEncodeError)
_NOT_STORABLE: Final = "The data holds a character that cannot be stored."
_TOO_LARGE: Final = "The data holds a number that cannot be stored."
# A mark of our own: SQLite's driver begins no transaction by itself, so there is no isolation level to switch.
_SINGLE_STATEMENTS: Final = "single_statements"
_REPORT_EVERY: Final = 60.0  # Seconds between two log lines of the same fault.

log = structlog.get_logger(__name__)

T = TypeVar("T")
Unit = Callable[[Connection], T]


class _Store(Protocol):
    """One kind of database."""

    async def run(self, unit: Unit[T], *, transaction: bool) -> T:
        """What `unit` makes of a connection; in one transaction, or each of its statements alone."""

    async def close(self) -> None:
        """Close every connection."""

    @property
    def away(self) -> bool:
        """Whether the database is known not to answer anybody."""


class Database:
    """The job index's database. `url` is a SQLAlchemy URL: `sqlite:///file` or `postgresql+psycopg://…`.

    A unit of work is a plain function of a `Connection`. Nothing is opened before the first use. On PostgreSQL
    `pool_size` connections are kept open, and up to `max_overflow` more while they are needed (M-051).
    """

    def __init__(self, url: str, *, pool_size: int = 3, max_overflow: int = 2) -> None:
        self._url = make_url(url)
        self._reported: DatabaseFault | None = None
        self._silent_until = 0.0
        self._turns = Turns()
        self._store: _Store = _Sqlite(self._url) if self._is_sqlite else _Postgresql(self._url, pool_size, max_overflow)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turn the faults of a database into `Unavailable`, and data that it cannot hold into `InvalidInput`.

        What the database says is for operators: in the log, at most once a minute, and as `cause` of the error.
        A broken constraint stays as it is: it is a defect of this product.
        """
        try:
            yield
        except exc.DataError as error:
            raise InvalidInput(_NOT_STORABLE) from error
        except OverflowError as error:  # of SQLite's driver; PostgreSQL's raises a DataError
            raise InvalidInput(_TOO_LARGE) from error
        except exc.IntegrityError:
            raise
        except (exc.DBAPIError, exc.TimeoutError, TimeoutError, OSError) as error:
            fault = described(error, self._url.password)
            self._report(fault)
            name = SLOW if self._is_slow(error) else type(error).__name__
            raise Unavailable(
                "The job index does not answer.", cause=fault.sentence, remedy=fault.remedy, fault=name
            ) from error
        except (exc.StatementError, *_ENCODING_FAULTS) as error:
            origin = error.orig if isinstance(error, exc.StatementError) else error
            if not isinstance(origin, _ENCODING_FAULTS):
                raise
            raise InvalidInput(_NOT_STORABLE) from error

    def _is_slow(self, error: Exception) -> bool:
        """Whether the database works, but for others: the connections or a lock were not free in time."""
        if isinstance(error, exc.DBAPIError):
            return getattr(error.orig, "sqlite_errorname", "").startswith(_BUSY)
        return isinstance(error, (exc.TimeoutError, TimeoutError)) and not self._store.away

    def _report(self, fault: DatabaseFault) -> None:
        now = time.monotonic()
        if fault != self._reported or now >= self._silent_until:
            self._reported, self._silent_until = fault, now + _REPORT_EVERY
            log.warning("index_unavailable", fault=fault.sentence, advice=fault.remedy)

    @property
    def place(self) -> str:
        """Where the database is, without its password."""
        return self._url.render_as_string(hide_password=True)

    @property
    def _is_sqlite(self) -> bool:
        return self._url.get_backend_name() == "sqlite"

    async def migrate(self, begin: Unit[None] | None = None) -> None:
        """Bring the schema to the newest version; safe to run again, and in many processes at once.

        `begin` begins the chain of the audit trail, in the transaction that makes its table.

        Raises `Unavailable`; `Misconfigured` for a file that is no database, and for a schema that is newer than ours
        or another program's.
        """
        if self._is_sqlite and self._url.database:
            with self._faults():
                make_private(Path(self._url.database))
        try:
            with self._faults():
                await self._store.run(lambda connection: migrate(connection, begin), transaction=True)
        except Unavailable as fault:
            if fault.remedy != NO_DATABASE:
                raise
            raise Misconfigured(f"{self.place}: {fault.cause}.", remedy=NO_DATABASE) from fault

    async def ping(self) -> None:
        """Ask the database for a sign of life. Raises `Unavailable`."""
        await self.autocommit(lambda connection: connection.execute(text("SELECT 1")).scalar_one())

    async def close(self) -> None:
        """Close every connection. The database can be used again afterwards."""
        await self._store.close()

    async def transaction(self, unit: Unit[T], *, owner: str | None = None) -> T:
        """Run one write transaction: committed at the end of the unit, rolled back on an error or a cancellation.

        With an `owner`, no other process or task runs one of that owner meanwhile. An owner's transactions wait for
        each other before they take a connection, so that they occupy one of this process at most.

        Raises `Unavailable`, also after `DEADLINE` seconds, and as many for the owner's turn; `InvalidInput`.
        """
        if owner is None:
            return await self._transact(unit)

        def held(connection: Connection) -> T:
            lock_owner(connection, owner)
            return unit(connection)

        turn = self._turns.of(owner)
        try:
            async with asyncio.timeout(DEADLINE):
                await turn.acquire()
        except TimeoutError:
            raise Unavailable("Too much at once waits for the job index.", fault=SLOW) from None
        try:
            return await self._transact(held)
        finally:
            turn.release()

    async def _transact(self, unit: Unit[T]) -> T:
        with self._faults():
            async with asyncio.timeout(DEADLINE):
                return await self._store.run(unit, transaction=True)

    async def autocommit(self, unit: Unit[T]) -> T:
        """Run a unit each statement of which stands alone: one round trip for a read or a single write.

        Raises as `transaction` does.
        """
        with self._faults():
            async with asyncio.timeout(DEADLINE):
                return await self._store.run(unit, transaction=False)

    def insert(self, table: Table) -> postgresql.Insert | sqlite.Insert:
        """An INSERT that knows ON CONFLICT, in the words of this database."""
        return sqlite.insert(table) if self._is_sqlite else postgresql.insert(table)


class _Postgresql:
    def __init__(self, url: URL, pool_size: int, max_overflow: int) -> None:
        connect_args = {"connect_timeout": _CONNECT_TIMEOUT, "application_name": application_name()}
        self._engine = create_async_engine(
            url,
            hide_parameters=True,
            json_serializer=_json,
            pool_size=pool_size,
            max_overflow=max_overflow,
            pool_timeout=DEADLINE,
            pool_pre_ping=True,
            connect_args=connect_args,
        )
        self._autocommit = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        # Its own connection: those of the pool may all be waiting.
        self._probing = create_async_engine(url, hide_parameters=True, poolclass=NullPool, connect_args=connect_args)
        self._circuit = CircuitBreaker("index", self._probe, (exc.DBAPIError, exc.TimeoutError, OSError), _lost)

    @property
    def away(self) -> bool:
        return self._circuit.away

    async def run(self, unit: Unit[T], *, transaction: bool) -> T:
        return await self._circuit.call(lambda: self._given_up_at_once(unit, transaction=transaction))

    async def _given_up_at_once(self, unit: Unit[T], *, transaction: bool) -> T:
        """Run a unit of work. The driver takes seconds to cancel what gets no answer: nobody waits for that."""
        working = asyncio.create_task(self._work(unit, transaction=transaction))
        try:
            await asyncio.wait({working})
        except asyncio.CancelledError:
            working.add_done_callback(lambda done: done.cancelled() or done.exception())
            working.cancel()
            raise
        return working.result()

    async def _work(self, unit: Unit[T], *, transaction: bool) -> T:
        async with self._engine.begin() if transaction else self._autocommit.connect() as connection:
            return await connection.run_sync(unit)

    async def _probe(self) -> None:
        async with self._probing.connect() as connection:
            await connection.exec_driver_sql("SELECT 1")

    async def close(self) -> None:
        await self._engine.dispose()
        await self._probing.dispose()


def _lost(error: Exception) -> bool:
    """Whether an error says that PostgreSQL did not answer: one that it reports has a code."""
    return not isinstance(error, exc.DBAPIError) or getattr(error.orig, "sqlstate", None) is None


def application_name() -> str:
    """What `pg_stat_activity` calls the connections of this process."""
    return f"{APPLICATION} {os.getpid()}@{socket.gethostname()}"[:63]  # PostgreSQL cuts a longer one


class _GivenUp(Exception):
    """Nobody waits for this unit of work any more."""


class _Sqlite:
    """One connection in a thread of its own: SQLite writes one at a time anyway, and the thread's queue is fair where
    the wait for a lock is not. A unit of work costs one trip to it, however many statements it has."""

    def __init__(self, url: URL) -> None:
        self._engine = _sqlite_engine(url)
        self._single = self._engine.execution_options(**{_SINGLE_STATEMENTS: True})
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="index")

    @property
    def away(self) -> bool:
        return False

    async def run(self, unit: Unit[T], *, transaction: bool) -> T:
        given_up = threading.Event()

        def work() -> T:
            if not transaction:
                with self._single.connect() as connection:
                    return unit(connection)
            with self._engine.begin() as connection:
                done = unit(connection)
                # Whoever gave up while the thread waited for a lock was told that nothing is written.
                if given_up.is_set():
                    raise _GivenUp
                return done

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            given_up.set()

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._engine.dispose)
        self._thread.shutdown(wait=False)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="index")


def _json(value: Any) -> str:
    return to_text(value).decode()


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(
        url.set(drivername="sqlite"), hide_parameters=True, json_serializer=_json, pool_size=1, max_overflow=0
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # The driver begins nothing by itself.
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        _write_ahead(cursor)
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def take_write_lock(connection: Connection) -> None:
        # A transaction that reads first and writes later is refused, not made to wait, when another one wrote between.
        if not connection.get_execution_options().get(_SINGLE_STATEMENTS):
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _write_ahead(cursor: Cursor) -> None:
    """Switch to the write-ahead log. Of two processes that do so at once, SQLite refuses one instead of making it wait.

    Raises `sqlite3.OperationalError` after the time that a lock is waited for.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
