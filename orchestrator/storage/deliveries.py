"""Webhook deliveries: written in the transaction of their cause, then updated after each attempt."""

import builtins
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Table,
    and_,
    bindparam,
    exists,
    func,
    literal,
    select,
    update,
)

from orchestrator.domain.ids import joined
from orchestrator.domain.jobs import JobState
from orchestrator.domain.pages import Position
from orchestrator.domain.webhooks import (
    Delivery,
    DeliveryState,
    DueDelivery,
    MadeAttempt,
    WebhookEvent,
    delivery_id,
    events_of,
)
from orchestrator.storage import keyset
from orchestrator.storage.account_events import AccountLog
from orchestrator.storage.database import Database
from orchestrator.storage.tables import deliveries, delivery_attempts, jobs, webhooks

_ROW: Final = tuple(deliveries.c[name] for name in Delivery.__dataclass_fields__)
_DUE: Final = tuple(deliveries.c[name] for name in DueDelivery.__dataclass_fields__)
_ATTEMPT: Final = tuple(delivery_attempts.c[name] for name in MadeAttempt.__dataclass_fields__)

# A literal: a query plan for any parameter cannot use the partial index.
_PENDING: Final = deliveries.c.state == literal(DeliveryState.PENDING, deliveries.c.state.type, literal_execute=True)

# The data of a delivery for a job whose end was delivered before.
_REPLACES: Final = {"replaces_earlier_end": True}
# Every end of a job runs this query, and few jobs have webhooks: two indexed look-ups, and built once.
_AUDIENCE: Final = (
    select(
        *(jobs.c.owner, jobs.c.webhook_url, jobs.c.subject, jobs.c.reopened_at),
        *(webhooks.c.id, webhooks.c.url, webhooks.c.events),
    )
    .select_from(
        jobs.outerjoin(
            webhooks,
            and_(
                webhooks.c.owner == jobs.c.owner,
                webhooks.c.disabled_at.is_(None),
                webhooks.c.created_at <= bindparam("ended_at"),
            ),
        )
    )
    .where(jobs.c.id == bindparam("this_job"))
)


class Outbox:
    """Writes webhook deliveries in the same transaction as their cause, so that a crash loses none."""

    def __init__(self, db: Database) -> None:
        new = db.insert(deliveries).on_conflict_do_nothing(index_elements=[deliveries.c.id])
        self._insert = new.returning(deliveries.c.id)
        self._log = AccountLog(db)

    def job_ended(self, connection: Connection, job_id: str, state: JobState, at: datetime) -> list[DueDelivery]:
        """Add the deliveries and events for the end of a job, and return the new deliveries. Repeated calls add
        nothing."""
        audience = connection.execute(_AUDIENCE, {"this_job": job_id, "ended_at": at}).all()
        due: list[DueDelivery] = []
        native, *more = events_of(state, audience[0].subject if audience else None)
        cause, data = job_id, None
        if audience and (reopened_at := audience[0].reopened_at) is not None:
            cause, data = joined(job_id, reopened_at.isoformat(), by="@"), _REPLACES
        delivery: dict[str, Any] = {"event": native, "at": at, "cause": cause, "job_id": job_id, "data": data}
        if audience and (callback := audience[0].webhook_url):
            due += self._add(connection, owner=audience[0].owner, webhook_id=None, url=callback, **delivery)
        for webhook in audience:
            if webhook.id is None:
                continue
            target: dict[str, Any] = {"owner": webhook.owner, "webhook_id": webhook.id, "url": webhook.url}
            if native in webhook.events:
                due += self._add(connection, **target, **delivery)
            for event in more:
                if event in webhook.events:
                    due += self._add(connection, **target, **delivery | {"event": event, "cause": f"{cause}/{event}"})
        if audience:
            delivery["owner"] = audience[0].owner
            self._log.add(connection, **delivery)
            for event in more:
                self._log.add(connection, **delivery | {"event": event, "cause": f"{cause}/{event}"})
        return due

    def disabled(
        self, connection: Connection, webhook_id: str, reason: str, cause: str, at: datetime
    ) -> list[DueDelivery]:
        """Disable a webhook and notify the owner's other webhooks. `cause` is the failed delivery."""
        switch_off = (
            update(webhooks)
            .where(webhooks.c.id == webhook_id, webhooks.c.disabled_at.is_(None))
            .values(disabled_at=at, disabled_reason=reason, updated_at=at)
            .returning(webhooks.c.owner, webhooks.c.url)
        )
        disabled = connection.execute(switch_off).first()
        if disabled is None:
            return []
        event = WebhookEvent.WEBHOOK_DISABLED
        data = {"webhook_id": webhook_id, "url": disabled.url, "reason": reason}
        delivery: dict[str, Any] = {"owner": disabled.owner, "event": event, "at": at, "cause": cause, "data": data}
        others = select(webhooks.c.id, webhooks.c.url, webhooks.c.events).where(
            webhooks.c.owner == disabled.owner, webhooks.c.disabled_at.is_(None)
        )
        due: list[DueDelivery] = []
        for webhook in connection.execute(others).all():
            if event in webhook.events:
                due += self._add(connection, webhook_id=webhook.id, url=webhook.url, **delivery)
        self._log.add(connection, **delivery)
        return due

    def notify(
        self, connection: Connection, *, owner: str, event: WebhookEvent, cause: str, data: dict[str, Any], at: datetime
    ) -> list[DueDelivery]:
        """Add the deliveries for an event other than the end of a job, and return the new ones."""
        hooks = select(webhooks.c.id, webhooks.c.url, webhooks.c.events).where(
            webhooks.c.owner == owner, webhooks.c.disabled_at.is_(None), webhooks.c.created_at <= at
        )
        due: list[DueDelivery] = []
        for webhook in connection.execute(hooks).all():
            if event in webhook.events:
                due += self._add(
                    connection,
                    owner=owner,
                    webhook_id=webhook.id,
                    url=webhook.url,
                    event=event,
                    at=at,
                    cause=cause,
                    data=data,
                )
        self._log.add(connection, owner=owner, event=event, cause=cause, data=data, at=at)
        return due

    def _add(
        self,
        connection: Connection,
        *,
        owner: str,
        webhook_id: str | None,
        url: str,
        event: WebhookEvent,
        at: datetime,
        cause: str,
        job_id: str | None = None,
        data: dict[str, Any] | None = None,
    ) -> list[DueDelivery]:
        """Add a delivery. Returns it, or nothing if it exists already."""
        new_id = delivery_id(cause, webhook_id)
        row = Delivery(
            id=new_id,
            owner=owner,
            event=event,
            url=url,
            webhook_id=webhook_id,
            job_id=job_id,
            message_id=new_id,
            data=data,
            state=DeliveryState.PENDING,
            attempts=0,
            created_at=at,
        )
        return [] if connection.execute(self._insert, _new_row(row)).first() is None else [row]


class DeliveryRepository:
    """Webhook deliveries. Every method raises `Unavailable` if the database does not answer."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._outbox = Outbox(db)

    async def add(self, row: Delivery) -> None:
        """Insert a delivery that a caller requested."""
        add = deliveries.insert().values(_new_row(row))
        await self._db.autocommit(lambda connection: connection.execute(add).close())

    async def notify(
        self, owner: str, event: WebhookEvent, *, cause: str, data: dict[str, Any], at: datetime
    ) -> builtins.list[DueDelivery]:
        """Add the deliveries of an event to an owner's webhooks, one per webhook and `cause`. Returns the new ones."""
        return await self._db.transaction(
            lambda connection: self._outbox.notify(connection, owner=owner, event=event, cause=cause, data=data, at=at)
        )

    async def get(self, delivery_id: str) -> Delivery | None:
        """A delivery, or None."""
        query = select(*_ROW).where(deliveries.c.id == delivery_id)
        row = await self._db.autocommit(lambda connection: connection.execute(query).mappings().first())
        return None if row is None else _row(row)

    async def started(self, ids: builtins.list[str]) -> None:
        """Record that the workflows of these deliveries have started."""
        mark = update(deliveries).where(deliveries.c.id.in_(ids)).values(started=True)
        await self._db.autocommit(lambda connection: connection.execute(mark).close())

    async def unstarted(self, *, before: datetime, limit: int) -> builtins.list[DueDelivery]:
        """Deliveries created before a time whose workflow was not started, oldest first."""
        query = (
            select(*_DUE)
            .where(
                _PENDING,
                deliveries.c.started.is_(False),
                deliveries.c.created_at < before,
            )
            .order_by(deliveries.c.created_at)
            .limit(limit)
        )
        rows = await self._db.autocommit(lambda connection: connection.execute(query).mappings().all())
        return [DueDelivery(**row) for row in rows]

    async def overdue(self, *, before: datetime, limit: int) -> builtins.list[DueDelivery]:
        """Started deliveries with an attempt that was due before a time and is not recorded, oldest first."""
        due = func.coalesce(deliveries.c.next_attempt_at, deliveries.c.created_at)
        query = (
            select(*_DUE)
            .where(_PENDING, deliveries.c.started.is_(True), due < before)
            .order_by(deliveries.c.created_at)
            .limit(limit)
        )
        rows = await self._db.autocommit(lambda connection: connection.execute(query).mappings().all())
        return [DueDelivery(**row) for row in rows]

    async def give_up(self, delivery_id: str, state: DeliveryState, *, at: datetime) -> bool:
        """End a pending delivery without another attempt. False if it was no longer pending."""
        end = _update_pending(delivery_id).values(state=state, next_attempt_at=None, completed_at=at)
        return await self._db.autocommit(lambda connection: connection.execute(end).rowcount > 0)

    async def record(
        self,
        delivery: Delivery,
        attempt: MadeAttempt,
        *,
        state: DeliveryState,
        next_attempt_at: datetime | None,
        disable_reason: str | None,
    ) -> builtins.list[DueDelivery]:
        """Record an attempt at the delivery's `url` and its consequences. A repeated attempt overwrites its row.

        `disable_reason` is the reason to disable the webhook, or None. Returns the new deliveries that notify others.
        """
        columns = {name: getattr(attempt, name) for name in MadeAttempt.__dataclass_fields__}
        row = self._db.insert(delivery_attempts).values(delivery_id=delivery.id, **columns)
        upsert = row.on_conflict_do_update(index_elements=_key(delivery_attempts), set_=columns)
        ended_at = attempt.at + timedelta(seconds=attempt.duration)
        settle = _update_pending(delivery.id).values(
            url=delivery.url,
            state=state,
            attempts=attempt.number,
            next_attempt_at=next_attempt_at,
            completed_at=None if state is DeliveryState.PENDING else ended_at,
        )

        def write(connection: Connection) -> builtins.list[DueDelivery]:
            connection.execute(upsert)
            connection.execute(settle)
            if disable_reason is None or delivery.webhook_id is None:
                return []
            return self._outbox.disabled(connection, delivery.webhook_id, disable_reason, delivery.id, ended_at)

        return await self._db.transaction(write)

    async def delivered_since(self, webhook_id: str, moment: datetime) -> bool:
        """Whether a webhook accepted any delivery since a time."""
        query = select(
            exists().where(
                deliveries.c.webhook_id == webhook_id,
                deliveries.c.state == DeliveryState.DELIVERED,
                deliveries.c.completed_at >= moment,
            )
        )
        return bool(await self._db.autocommit(lambda connection: connection.execute(query).scalar_one()))

    async def list(
        self,
        *,
        webhook_id: str | None = None,
        job_id: str | None = None,
        state: DeliveryState | None = None,
        after: Position | None = None,
        limit: int,
        offset: int,
    ) -> tuple[builtins.list[tuple[Delivery, builtins.list[MadeAttempt]]], int]:
        """One page of deliveries with their attempts, newest first, and the number of all matches."""
        matching: builtins.list[ColumnElement[bool]] = []
        if webhook_id is not None:
            matching.append(deliveries.c.webhook_id == webhook_id)
        if job_id is not None:
            matching.append(deliveries.c.job_id == job_id)
        if state is not None:
            matching.append(deliveries.c.state == state)
        count = select(func.count()).select_from(deliveries).where(*matching)
        newest = (deliveries.c.created_at.desc(), deliveries.c.id.desc())
        page = select(*_ROW).where(*matching).order_by(*newest).limit(limit).offset(offset)
        if after is not None:
            page = page.where(keyset.after(after, deliveries.c.created_at, deliveries.c.id, newest_first=True))

        def read(connection: Connection) -> tuple[builtins.list[tuple[Delivery, builtins.list[MadeAttempt]]], int]:
            rows = [_row(columns) for columns in connection.execute(page).mappings()]
            attempts = _attempts(connection, [row.id for row in rows])
            return [(row, attempts.get(row.id, [])) for row in rows], connection.execute(count).scalar_one()

        return await self._db.autocommit(read)


def _new_row(row: Delivery) -> dict[str, Any]:
    """The columns of a delivery whose workflow is not started."""
    return {name: getattr(row, name) for name in Delivery.__dataclass_fields__} | {"started": False}


def _update_pending(delivery_id: str) -> Any:
    return update(deliveries).where(deliveries.c.id == delivery_id, deliveries.c.state == DeliveryState.PENDING)


def _key(table: Table) -> list[str]:
    return [column.name for column in table.primary_key.columns]


def _row(row: RowMapping) -> Delivery:
    return Delivery(**row)


def _attempts(connection: Connection, ids: list[str]) -> dict[str, list[MadeAttempt]]:
    if not ids:
        return {}
    query = (
        select(delivery_attempts.c.delivery_id, *_ATTEMPT)
        .where(delivery_attempts.c.delivery_id.in_(ids))
        .order_by(delivery_attempts.c.delivery_id, delivery_attempts.c.number)
    )
    by_delivery: dict[str, list[MadeAttempt]] = {}
    for row in connection.execute(query).mappings():
        columns = {name: row[name] for name in MadeAttempt.__dataclass_fields__}
        by_delivery.setdefault(row["delivery_id"], []).append(MadeAttempt(**columns))
    return by_delivery
