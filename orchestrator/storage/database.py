"""The engine for SQLite or PostgreSQL, and the one place that turns database faults into domain errors."""

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
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import structlog
from pydantic_core import PydanticSerializationError
from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, exc, make_url, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from orchestrator.domain.errors import SLOW, InvalidInput, Misconfigured, Unavailable
from orchestrator.network.circuit_breaker import CircuitBreaker
from orchestrator.security.data_files import make_private
from orchestrator.storage.faults import NO_DATABASE, DatabaseFault, described
from orchestrator.storage.locks import Turns, lock_owner
from orchestrator.storage.migrate import migrate
from orchestrator.storage.packed import to_text

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

BUSY_TIMEOUT_MS: Final = 5000
DEADLINE: Final = 6.0  # Seconds. SQLite stops waiting for a lock earlier, so that its own error is reported.
APPLICATION: Final = "orchestrator"
_BUSY: Final = ("SQLITE_BUSY", "SQLITE_LOCKED")
_CONNECT_TIMEOUT: Final = 2  # Seconds; the least that libpq accepts.
_ENCODING_FAULTS: Final = (PydanticSerializationError, UnicodeEncodeError)
_NOT_STORABLE: Final = "The data contains a character that cannot be stored."
_TOO_LARGE: Final = "The data contains a number that is too large to be stored."
# Our own option: the driver of SQLite begins no transaction, so it has no isolation level to switch.
_SINGLE_STATEMENTS: Final = "single_statements"
_REPORT_EVERY: Final = 60.0  # Seconds between two log lines of the same fault.

log = structlog.get_logger(__name__)

T = TypeVar("T")
Unit = Callable[[Connection], T]


class _Store(Protocol):
    """One kind of database."""

    async def run(self, unit: Unit[T], *, transaction: bool) -> T:
        """Run `unit` on a connection and return its result: in one transaction, or each statement in its own."""

    async def close(self) -> None:
        """Close every connection."""

    @property
    def away(self) -> bool:
        """Whether the database is known to be unreachable."""


class Database:
    """The database of the job index. `url` is a SQLAlchemy URL: `sqlite:///file` or `postgresql+psycopg://…`.

    A unit of work is a plain function of a `Connection`. The first use opens the database. On PostgreSQL `pool_size`
    connections stay open, and up to `max_overflow` more are opened while they are needed (M-051).
    """

    def __init__(self, url: str, *, pool_size: int = 3, max_overflow: int = 2) -> None:
        self._url = make_url(url)
        self._reported: DatabaseFault | None = None
        self._silent_until = 0.0
        self._turns = Turns()
        self._store: _Store = _Sqlite(self._url) if self._is_sqlite else _Postgresql(self._url, pool_size, max_overflow)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turn database faults into `Unavailable`, and data that the database cannot store into `InvalidInput`.

        The database's own message is for operators: it goes to the log, at most once a minute, and to the `cause` of
        the error. An `IntegrityError` passes through: it is a defect of this product.
        """
        try:
            yield
        except exc.DataError as error:
            raise InvalidInput(_NOT_STORABLE) from error
        except OverflowError as error:  # From the driver of SQLite; that of PostgreSQL raises a DataError.
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
        """Whether the database answers, but all connections or a lock were in use for too long."""
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
        """The URL of the database, without its password."""
        return self._url.render_as_string(hide_password=True)

    @property
    def _is_sqlite(self) -> bool:
        return self._url.get_backend_name() == "sqlite"

    async def migrate(self, begin: Unit[None] | None = None) -> None:
        """Upgrade the schema to the newest version. Safe to repeat, also in many processes at once.

        `begin` begins the chain of the audit trail, in the transaction that creates its table.

        Raises `Unavailable`, and `Misconfigured` for a file that is not a database, a schema of a newer release or the
        database of another program.
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
        """Check that the database answers. Raises `Unavailable`."""
        await self.autocommit(lambda connection: connection.execute(text("SELECT 1")).scalar_one())

    async def close(self) -> None:
        """Close every connection. The database can be used again afterwards."""
        await self._store.close()

    async def transaction(self, unit: Unit[T], *, owner: str | None = None) -> T:
        """Run one write transaction. It commits when the unit returns, and rolls back on an error or a cancellation.

        Transactions with the same `owner` exclude each other, across processes. They wait before they take a
        connection, so that one owner uses at most one connection of this process.

        Raises `InvalidInput`, and `Unavailable`, also if the unit takes longer than `DEADLINE` seconds or waits longer
        than that for the owner's turn.
        """
        if owner is None:
            return await self._transact(unit)

        def locked(connection: Connection) -> T:
            lock_owner(connection, owner)
            return unit(connection)

        turn = self._turns.of(owner)
        try:
            async with asyncio.timeout(DEADLINE):
                await turn.acquire()
        except TimeoutError:
            raise Unavailable("Too many requests of one account wait for the job index.", fault=SLOW) from None
        try:
            return await self._transact(locked)
        finally:
            turn.release()

    async def _transact(self, unit: Unit[T]) -> T:
        with self._faults():
            async with asyncio.timeout(DEADLINE):
                return await self._store.run(unit, transaction=True)

    async def autocommit(self, unit: Unit[T]) -> T:
        """Run a unit in which each statement commits by itself: one round trip for a read or a single write.

        Raises the same errors as `transaction`.
        """
        with self._faults():
            async with asyncio.timeout(DEADLINE):
                return await self._store.run(unit, transaction=False)

    def insert(self, table: Table) -> "postgresql.Insert | sqlite.Insert":
        """An INSERT with ON CONFLICT in the dialect of this database."""
        if self._is_sqlite:
            return sqlite.insert(table)
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - slow to import

        return postgresql.insert(table)


class _Postgresql:
    def __init__(self, url: URL, pool_size: int, max_overflow: int) -> None:
        from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415 - slow to import

        connect_args = {"connect_timeout": _CONNECT_TIMEOUT, "application_name": application_name()}
        self._engine = create_async_engine(
            url,
            hide_parameters=True,
            json_serializer=_to_json_text,
            pool_size=pool_size,
            max_overflow=max_overflow,
            pool_timeout=DEADLINE,
            pool_pre_ping=True,
            connect_args=connect_args,
        )
        self._autocommit = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        # The probe has its own connection, because all those of the pool may be waiting.
        self._probe_engine = create_async_engine(
            url, hide_parameters=True, poolclass=NullPool, connect_args=connect_args
        )
        self._circuit = CircuitBreaker(
            "index", self._probe, (exc.DBAPIError, exc.TimeoutError, OSError), _is_unreachable
        )

    @property
    def away(self) -> bool:
        return self._circuit.away

    async def run(self, unit: Unit[T], *, transaction: bool) -> T:
        return await self._circuit.call(lambda: self._run_cancellable(unit, transaction=transaction))

    async def _run_cancellable(self, unit: Unit[T], *, transaction: bool) -> T:
        """Run a unit of work. A cancellation returns at once: the driver needs seconds to cancel a hanging query."""
        task = asyncio.create_task(self._work(unit, transaction=transaction))
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            task.cancel()
            raise
        return task.result()

    async def _work(self, unit: Unit[T], *, transaction: bool) -> T:
        async with self._engine.begin() if transaction else self._autocommit.connect() as connection:
            return await connection.run_sync(unit)

    async def _probe(self) -> None:
        async with self._probe_engine.connect() as connection:
            await connection.exec_driver_sql("SELECT 1")

    async def close(self) -> None:
        await self._engine.dispose()
        await self._probe_engine.dispose()


def _is_unreachable(error: Exception) -> bool:
    """Whether PostgreSQL did not answer: errors that it reports have a code."""
    return not isinstance(error, exc.DBAPIError) or getattr(error.orig, "sqlstate", None) is None


def application_name() -> str:
    """The name of this process's connections in `pg_stat_activity`."""
    return f"{APPLICATION} {os.getpid()}@{socket.gethostname()}"[:63]  # The limit of PostgreSQL.


class _Cancelled(Exception):
    """The caller of this unit of work was cancelled: roll back."""


class _Sqlite:
    """One connection in its own thread.

    SQLite has one writer at a time anyway. The queue of a thread is fair, while waiting for a lock is not. A unit of
    work costs one hop to the thread, however many statements it has.
    """

    def __init__(self, url: URL) -> None:
        self._engine = _sqlite_engine(url)
        self._single = self._engine.execution_options(**{_SINGLE_STATEMENTS: True})
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="index")

    @property
    def away(self) -> bool:
        return False

    async def run(self, unit: Unit[T], *, transaction: bool) -> T:
        cancelled = threading.Event()

        def work() -> T:
            if not transaction:
                with self._single.connect() as connection:
                    return unit(connection)
            with self._engine.begin() as connection:
                result = unit(connection)
                # The caller may have been cancelled while the thread waited for a lock: then nothing may be written.
                if cancelled.is_set():
                    raise _Cancelled
                return result

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            cancelled.set()

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._engine.dispose)
        self._thread.shutdown(wait=False)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="index")


def _to_json_text(value: Any) -> str:
    return to_text(value).decode()


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(
        url.set(drivername="sqlite"), hide_parameters=True, json_serializer=_to_json_text, pool_size=1, max_overflow=0
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # The driver begins no transaction by itself.
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        _write_ahead(cursor)
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def take_write_lock(connection: Connection) -> None:
        # SQLite refuses, without waiting, a transaction that reads first and writes after another transaction wrote.
        if not connection.get_execution_options().get(_SINGLE_STATEMENTS):
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _write_ahead(cursor: Cursor) -> None:
    """Switch to the write-ahead log. If two processes do so at once, SQLite refuses one without waiting: try again.

    Raises `sqlite3.OperationalError` after `BUSY_TIMEOUT_MS`.
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
