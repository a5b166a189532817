"""Deletes old rows, one transaction per batch, and adds their counts to the sums of pruned rows.

So the counters of the metrics never fall.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, Table, and_, delete, exists, func, select, update
from sqlalchemy import tuple_ as tuple_of

from orchestrator.domain.ports import ValueStore
from orchestrator.domain.webhooks import DeliveryState
from orchestrator.storage.account_events import account_events
from orchestrator.storage.database import Database
from orchestrator.storage.labels import delete_labels
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
    """Every method deletes at most `limit` old rows with their dependent rows, and returns the number of old rows.

    Open jobs and pending deliveries stay, with their dependent rows, at any age. Raises `Unavailable`.
    """

    def __init__(self, db: Database, bucket: ValueStore | None = None) -> None:
        """`bucket` has the large values of jobs, if the index does not."""
        self._db = db
        self._bucket = bucket

    async def jobs(self, before: datetime, limit: int) -> int:
        """Delete jobs that ended before a time, and memories of conversations that were not used since."""
        has_pending = exists().where(deliveries.c.job_id == jobs.c.id, _PENDING)
        is_ended = and_(jobs.c.closed_at < before, jobs.c.snapshot.is_not(None), ~has_pending)
        old = select(jobs.c.id).where(is_ended).order_by(jobs.c.closed_at).limit(limit)
        if self._bucket is not None:  # Before the rows: after a failure in between, the next pass repeats both.
            for row in await self._db.autocommit(lambda connection: connection.execute(old).all()):
                await self._bucket.forget(row.id)
        job_exists = exists().where(jobs.c.id == artifacts.c.job_id)
        # A conversation, which is not a job, rewrites its memory with each turn: then all of its values stay.
        in_use = exists().where(_OTHER.c.job_id == artifacts.c.job_id, _OTHER.c.created_at >= before)
        orphans = select(artifacts.c.id).where(artifacts.c.created_at < before, ~job_exists, ~in_use).limit(limit)

        def prune(connection: Connection) -> int:
            ids = _locked_ids(connection, old, jobs)
            if ids:
                self._delete_attempts(connection, attempts.c.job_id.in_(ids))
                its_deliveries = select(deliveries.c.id).where(deliveries.c.job_id.in_(ids))
                self._delete_deliveries(connection, [row.id for row in connection.execute(its_deliveries)])
                self._add_sums(connection, pruned_jobs, job_sums(jobs.c.id.in_(ids)))
                connection.execute(delete(artifacts).where(artifacts.c.job_id.in_(ids)))
                delete_labels(connection, ids)
                connection.execute(delete(jobs).where(jobs.c.id.in_(ids)))
            return max(len(ids), _delete_rows(connection, artifacts, _locked_ids(connection, orphans, artifacts)))

        return await self._db.transaction(prune)

    async def events(self, before: datetime, limit: int) -> int:
        """Delete the events of jobs that ended before a time. The jobs stay."""
        has_events = and_(jobs.c.closed_at < before, jobs.c.events.is_not(None))
        old = select(jobs.c.id).where(has_events).order_by(jobs.c.closed_at).limit(limit)

        def prune(connection: Connection) -> int:
            ids = _locked_ids(connection, old, jobs)
            if ids:
                connection.execute(update(jobs).where(jobs.c.id.in_(ids)).values(events=None))
            return len(ids)

        return await self._db.transaction(prune)

    async def attempts(self, before: datetime, limit: int) -> int:
        """Delete attempts that ended before a time, or began before it without an end. Each agent's newest stays."""
        open_job = exists().where(jobs.c.id == attempts.c.job_id, jobs.c.snapshot.is_(None))
        has_newer = exists().where(_NEWER.c.agent == attempts.c.agent, _NEWER.c.started_at > attempts.c.started_at)
        query = select(*_KEY).where(~open_job, has_newer)
        ended = query.where(attempts.c.completed_at < before).order_by(attempts.c.completed_at).limit(limit)
        lost = query.where(attempts.c.completed_at.is_(None), attempts.c.started_at < before).limit(limit)

        def prune(connection: Connection) -> int:
            keys = [tuple(key) for old in (ended, lost) for key in connection.execute(_locked(old, attempts))][:limit]
            if keys:
                self._delete_attempts(connection, tuple_of(*_KEY).in_(keys))
            return len(keys)

        return await self._db.transaction(prune)

    async def deliveries(self, before: datetime, limit: int) -> int:
        """Delete deliveries that ended before a time, with their attempts."""
        is_ended = and_(deliveries.c.completed_at < before, ~_PENDING)
        old = select(deliveries.c.id).where(is_ended).order_by(deliveries.c.completed_at).limit(limit)

        def prune(connection: Connection) -> int:
            ids = _locked_ids(connection, old, deliveries)
            self._delete_deliveries(connection, ids)
            return len(ids)

        return await self._db.transaction(prune)

    async def account_events(self, before: datetime, limit: int) -> int:
        """Delete events of accounts from before a time. Each account's newest stays, because the next number follows
        it."""
        newer = account_events.alias("newer")
        has_newer = exists().where(newer.c.owner == account_events.c.owner, newer.c.number > account_events.c.number)
        key = (account_events.c.owner, account_events.c.number)
        old = select(*key).where(account_events.c.created_at < before, has_newer).limit(limit)

        def prune(connection: Connection) -> int:
            keys = [tuple(row) for row in connection.execute(_locked(old, account_events))]
            if keys:
                connection.execute(delete(account_events).where(tuple_of(*key).in_(keys)))
            return len(keys)

        return await self._db.transaction(prune)

    async def refresh_tokens(self, before: datetime, limit: int) -> int:
        """Delete refresh tokens that expired before a time. An unknown token is refused like an expired one."""
        old = select(refresh_tokens.c.id).where(refresh_tokens.c.expires_at < before).limit(limit)
        return await self._db.transaction(
            lambda connection: _delete_rows(connection, refresh_tokens, _locked_ids(connection, old, refresh_tokens))
        )

    async def idempotency_keys(self, before: datetime, limit: int) -> int:
        """Delete idempotency keys from before a time, with their responses."""
        key = (idempotency_keys.c.owner, idempotency_keys.c.key)
        old = select(*key).where(idempotency_keys.c.created_at < before).limit(limit)

        def prune(connection: Connection) -> int:
            keys = [tuple(row) for row in connection.execute(_locked(old, idempotency_keys))]
            if keys:
                connection.execute(delete(idempotency_keys).where(tuple_of(*key).in_(keys)))
            return len(keys)

        return await self._db.transaction(prune)

    def _delete_attempts(self, connection: Connection, condition: ColumnElement[bool]) -> None:
        self._add_sums(connection, pruned_attempts, attempt_sums(condition, attempts.c.completed_at.is_not(None)))
        connection.execute(delete(attempts).where(condition))

    def _delete_deliveries(self, connection: Connection, ids: Sequence[str]) -> None:
        if not ids:
            return
        of_these, tries = deliveries.c.id.in_(ids), delivery_attempts.c.delivery_id.in_(ids)
        by_event = select(deliveries.c.event, deliveries.c.state, func.count().label("number")).where(of_these)
        by_verdict = select(delivery_attempts.c.verdict, func.count().label("number")).where(tries)
        self._add_sums(connection, pruned_deliveries, by_event.group_by(deliveries.c.event, deliveries.c.state))
        self._add_sums(connection, pruned_delivery_attempts, by_verdict.group_by(delivery_attempts.c.verdict))
        connection.execute(delete(delivery_attempts).where(tries))
        connection.execute(delete(deliveries).where(of_these))

    def _add_sums(self, connection: Connection, sums: Table, pruned: Select[Any]) -> None:
        """Add the sums of rows before their deletion."""
        rows = [_sum_row(sums_row) for sums_row in connection.execute(pruned).mappings()]
        if not rows:
            return
        row = self._db.insert(sums)
        key = [column.name for column in sums.primary_key.columns]
        totals = {
            column.name: func.coalesce(column + row.excluded[column.name], row.excluded[column.name], column)
            for column in sums.columns
            if column.name not in key
        }
        connection.execute(row.on_conflict_do_update(index_elements=key, set_=totals), rows)


def _sum_row(sums: RowMapping) -> dict[str, Any]:
    """A row of sums, with 0 for missing sums and the bucket -1 for missing times."""
    row = dict(sums)
    for bucket in ("duration", "wait"):
        if bucket in row and row[bucket] is None:
            row[bucket] = _NO_TIME
    for name in ("duration_ms", "wait_ms", "prompt", "completion"):
        if name in row:
            row[name] = int(row[name] or 0)
    return row


def _locked(old: Select[Any], table: Table) -> Select[Any]:
    """Lock the rows. On PostgreSQL concurrent passes take different rows; SQLite has one writer."""
    return old.with_for_update(skip_locked=True, of=table)


def _locked_ids(connection: Connection, old: Select[Any], table: Table) -> list[str]:
    return [row.id for row in connection.execute(_locked(old, table))]


def _delete_rows(connection: Connection, table: Table, ids: Sequence[Any]) -> int:
    if ids:
        connection.execute(delete(table).where(table.c.id.in_(ids)))
    return len(ids)
