"""Timestamps in SQLite and PostgreSQL: how they are stored, and SQL functions on them."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Float, String, TypeDecorator
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement


class UtcDateTime(TypeDecorator[datetime]):
    """A timestamp, stored in UTC and read with its offset, also from SQLite, which stores none."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC. Raises `ValueError` for a naive timestamp, whose meaning would be a guess."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"timestamp {value.isoformat()} has no offset: the job index needs one")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The stored value in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Seconds(FunctionElement[float]):
    """Seconds from the first timestamp to the second; on SQLite with the precision of a millisecond."""

    type = Float()
    inherit_cache = True


class UtcDay(FunctionElement[str]):
    """The UTC day of a timestamp, as `YYYY-MM-DD`."""

    type = String()
    inherit_cache = True


class AsText(FunctionElement[Any]):
    """The value of a column as text. On SQLite, where a column may hold any type, as bytes."""

    inherit_cache = True


@compiles(AsText, "postgresql")
def _postgresql_text(element: AsText, compiler: SQLCompiler, **kw: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **kw)} AS TEXT)"


@compiles(AsText, "sqlite")
def _sqlite_text(element: AsText, compiler: SQLCompiler, **kw: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **kw)} AS BLOB)"


@compiles(Seconds, "postgresql")
def _postgresql_seconds(element: Seconds, compiler: SQLCompiler, **kw: Any) -> str:
    begin, end = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"EXTRACT(EPOCH FROM {end} - {begin})::float"


@compiles(Seconds, "sqlite")
def _sqlite_seconds(element: Seconds, compiler: SQLCompiler, **kw: Any) -> str:
    begin, end = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"((julianday({end}) - julianday({begin})) * 86400.0)"


@compiles(UtcDay, "postgresql")
def _postgresql_day(element: UtcDay, compiler: SQLCompiler, **kw: Any) -> str:
    (moment,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"to_char({moment} AT TIME ZONE 'UTC', 'YYYY-MM-DD')"


@compiles(UtcDay, "sqlite")
def _sqlite_day(element: UtcDay, compiler: SQLCompiler, **kw: Any) -> str:
    (moment,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"substr({moment}, 1, 10)"
