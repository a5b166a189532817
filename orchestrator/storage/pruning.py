"""Deletes old rows, each batch in a transaction of its own. What they counted for is added to the sums of pruned rows,
so that counters never fall."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, Table, and_, delete, exists, func, select, update
from sqlalchemy import tuple_ as tuple_of

from orchestrator.domain.ports import ValueStore
from orchestrator.domain.webhooks import DeliveryState
from orchestrator.storage.database import Database
from orchestrator.storage.pruned_tables import pruned_attempts, pruned_deliveries, pruned_delivery_attempts, pruned_jobs
from orchestrator.storage.sums import attempt_sums, job_sums
from orchestrator.storage.tables import (
    artifacts,
    attempts,
    deliveries,
    delivery_attempts,
    idempotency_keys,
    jobs,
    refresh_tokens,
)

_PENDING: Final = deliveries.c.state == DeliveryState.PENDING
_KEY: Final = tuple(attempts.c[column.name] for column in attempts.primary_key.columns)
_NEWER: Final = attempts.alias("newer")
_OTHER: Final = artifacts.alias("other")
_NO_TIME: Final = -1  # The bucket of jobs without a duration or wait: a key cannot be null.


class PruningRepository:
    """Every method deletes at most `limit` old rows with what belongs to them, and returns how many those were.

    Open jobs and pending deliveries, and what belongs to them, stay however old they are. Raises `Unavailable`.
    """

    def __init__(self, db: Database, bucket: ValueStore | None = None) -> None:
        """`bucket` keeps the large values of jobs, where the index does not."""
        self._db = db
        self._bucket = bucket

    async def jobs(self, before: datetime, limit: int) -> int:
        """Jobs that ended before a time, with all that belongs to them; memories of conversations unused since, too."""
        tells = exists().where(deliveries.c.job_id == jobs.c.id, _PENDING)
        ended = and_(jobs.c.closed_at < before, jobs.c.snapshot.is_not(None), ~tells)
        old = select(jobs.c.id).where(ended).order_by(jobs.c.closed_at).limit(limit)
        if self._bucket is not None:  # Before its rows: what fails in between is done again.
            for row in await self._db.autocommit(lambda connection: connection.execute(old).all()):
                await self._bucket.forget(row.id)
        its_job = exists().where(jobs.c.id == artifacts.c.job_id)
        # A conversation, which is no job, writes its memory again with each turn: then what it refers to stays, too.
        in_use = exists().where(_OTHER.c.job_id == artifacts.c.job_id, _OTHER.c.created_at >= before)
        orphans = select(artifacts.c.id).where(artifacts.c.created_at < before, ~its_job, ~in_use).limit(limit)

        def prune(connection: Connection) -> int:
            ids = _claimed(connection, old, jobs)
            if ids:
                self._forget_attempts(connection, attempts.c.job_id.in_(ids))
                its_deliveries = select(deliveries.c.id).where(deliveries.c.job_id.in_(ids))
                self._forget_deliveries(connection, [row.id for row in connection.execute(its_deliveries)])
                self._add(connection, pruned_jobs, job_sums(jobs.c.id.in_(ids)))
                connection.execute(delete(artifacts).where(artifacts.c.job_id.in_(ids)))
                connection.execute(delete(jobs).where(jobs.c.id.in_(ids)))
            return max(len(ids), _delete(connection, artifacts, _claimed(connection, orphans, artifacts)))

        return await self._db.transaction(prune)

    async def events(self, before: datetime, limit: int) -> int:
        """The events of jobs that ended before a time; the jobs stay."""
        with_events = and_(jobs.c.closed_at < before, jobs.c.events.is_not(None))
        old = select(jobs.c.id).where(with_events).order_by(jobs.c.closed_at).limit(limit)

        def prune(connection: Connection) -> int:
            ids = _claimed(connection, old, jobs)
            if ids:
                connection.execute(update(jobs).where(jobs.c.id.in_(ids)).values(events=None))
            return len(ids)

        return await self._db.transaction(prune)

    async def attempts(self, before: datetime, limit: int) -> int:
        """Attempts that ended before a time, or began before it and never ended; the newest of each agent stays."""
        open_job = exists().where(jobs.c.id == attempts.c.job_id, jobs.c.snapshot.is_(None))
        newer = exists().where(_NEWER.c.agent == attempts.c.agent, _NEWER.c.started_at > attempts.c.started_at)
        spent = select(*_KEY).where(~open_job, newer)
        ended = spent.where(attempts.c.completed_at < before).order_by(attempts.c.completed_at).limit(limit)
        lost = spent.where(attempts.c.completed_at.is_(None), attempts.c.started_at < before).limit(limit)

        def prune(connection: Connection) -> int:
            keys = [tuple(key) for old in (ended, lost) for key in connection.execute(_claim(old, attempts))][:limit]
            if keys:
                self._forget_attempts(connection, tuple_of(*_KEY).in_(keys))
            return len(keys)

        return await self._db.transaction(prune)

    async def deliveries(self, before: datetime, limit: int) -> int:
        """Deliveries that ended before a time, with their attempts."""
        ended = and_(deliveries.c.completed_at < before, ~_PENDING)
        old = select(deliveries.c.id).where(ended).order_by(deliveries.c.completed_at).limit(limit)

        def prune(connection: Connection) -> int:
            ids = _claimed(connection, old, deliveries)
            self._forget_deliveries(connection, ids)
            return len(ids)

        return await self._db.transaction(prune)

    async def refresh_tokens(self, before: datetime, limit: int) -> int:
        """Refresh tokens that expired before a time: they are refused, known or not."""
        old = select(refresh_tokens.c.id).where(refresh_tokens.c.expires_at < before).limit(limit)
        return await self._db.transaction(
            lambda connection: _delete(connection, refresh_tokens, _claimed(connection, old, refresh_tokens))
        )

    async def idempotency_keys(self, before: datetime, limit: int) -> int:
        """Requests with an idempotency key from before a time, with their answers."""
        key = (idempotency_keys.c.owner, idempotency_keys.c.key)
        old = select(*key).where(idempotency_keys.c.created_at < before).limit(limit)

        def prune(connection: Connection) -> int:
            keys = [tuple(row) for row in connection.execute(_claim(old, idempotency_keys))]
            if keys:
                connection.execute(delete(idempotency_keys).where(tuple_of(*key).in_(keys)))
            return len(keys)

        return await self._db.transaction(prune)

    def _forget_attempts(self, connection: Connection, chosen: ColumnElement[bool]) -> None:
        self._add(connection, pruned_attempts, attempt_sums(chosen, attempts.c.completed_at.is_not(None)))
        connection.execute(delete(attempts).where(chosen))

    def _forget_deliveries(self, connection: Connection, ids: Sequence[str]) -> None:
        if not ids:
            return
        of_these, tries = deliveries.c.id.in_(ids), delivery_attempts.c.delivery_id.in_(ids)
        by_event = select(deliveries.c.event, deliveries.c.state, func.count().label("number")).where(of_these)
        by_verdict = select(delivery_attempts.c.verdict, func.count().label("number")).where(tries)
        self._add(connection, pruned_deliveries, by_event.group_by(deliveries.c.event, deliveries.c.state))
        self._add(connection, pruned_delivery_attempts, by_verdict.group_by(delivery_attempts.c.verdict))
        connection.execute(delete(delivery_attempts).where(tries))
        connection.execute(delete(deliveries).where(of_these))

    def _add(self, connection: Connection, sums: Table, pruned: Select[Any]) -> None:
        """Add the sums of rows that are about to be deleted."""
        rows = [_sum_row(found) for found in connection.execute(pruned).mappings()]
        if not rows:
            return
        row = self._db.insert(sums)
        key = [column.name for column in sums.primary_key.columns]
        added = {
            column.name: func.coalesce(column + row.excluded[column.name], row.excluded[column.name], column)
            for column in sums.columns
            if column.name not in key
        }
        connection.execute(row.on_conflict_do_update(index_elements=key, set_=added), rows)


def _sum_row(found: RowMapping) -> dict[str, Any]:
    """A row of sums; where all times or prices were missing, the sum of nothing."""
    row = dict(found)
    for bucket in ("duration", "wait"):
        if bucket in row and row[bucket] is None:
            row[bucket] = _NO_TIME
    for name in ("duration_ms", "wait_ms", "prompt", "completion"):
        if name in row:
            row[name] = int(row[name] or 0)
    return row


def _claim(old: Select[Any], table: Table) -> Select[Any]:
    """On PostgreSQL, two passes at once take different rows; SQLite has one writer."""
    return old.with_for_update(skip_locked=True, of=table)


def _claimed(connection: Connection, old: Select[Any], table: Table) -> list[str]:
    return [row.id for row in connection.execute(_claim(old, table))]


def _delete(connection: Connection, table: Table, ids: Sequence[Any]) -> int:
    if ids:
        connection.execute(delete(table).where(table.c.id.in_(ids)))
    return len(ids)
