"""Deliveries of webhooks: written together with what they tell, then attempt by attempt (A10)."""

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
from orchestrator.storage.database import Database
from orchestrator.storage.tables import deliveries, delivery_attempts, jobs, webhooks

_ROW: Final = tuple(deliveries.c[name] for name in Delivery.__dataclass_fields__)
_DUE: Final = tuple(deliveries.c[name] for name in DueDelivery.__dataclass_fields__)
_ATTEMPT: Final = tuple(delivery_attempts.c[name] for name in MadeAttempt.__dataclass_fields__)

# Written into the statement: a plan that is made for any parameter cannot use the partial index.
_PENDING: Final = deliveries.c.state == literal(DeliveryState.PENDING, deliveries.c.state.type, literal_execute=True)

# Every job that ends asks this, most of them for nothing: two indexed look-ups in one statement that is made once.
# What a delivery adds to the end of a job whose webhooks were told of an end before.
_AGAIN: Final = {"replaces_earlier_end": True}
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
    """Writes what has to be told in the transaction of whoever causes it: it survives whoever was to tell it."""

    def __init__(self, db: Database) -> None:
        new = db.insert(deliveries).on_conflict_do_nothing(index_elements=[deliveries.c.id])
        self._insert = new.returning(deliveries.c.id)

    def job_ended(self, connection: Connection, job_id: str, state: JobState, at: datetime) -> list[DueDelivery]:
        """The deliveries of a job's end that are new: a webhook is told once, whoever closes the job, and how often."""
        audience = connection.execute(_AUDIENCE, {"this_job": job_id, "ended_at": at}).all()
        due: list[DueDelivery] = []
        native, *more = events_of(state, audience[0].subject if audience else None)
        cause, data = job_id, None
        if audience and (reopened_at := audience[0].reopened_at) is not None:
            cause, data = joined(job_id, reopened_at.isoformat(), by="@"), _AGAIN
        told: dict[str, Any] = {"event": native, "at": at, "cause": cause, "job_id": job_id, "data": data}
        if audience and (callback := audience[0].webhook_url):
            due += self._add(connection, owner=audience[0].owner, webhook_id=None, url=callback, **told)
        for one in audience:
            if one.id is None:
                continue
            hook: dict[str, Any] = {"owner": one.owner, "webhook_id": one.id, "url": one.url}
            if native in one.events:
                due += self._add(connection, **hook, **told)
            for event in more:
                if event in one.events:
                    due += self._add(connection, **hook, **told | {"event": event, "cause": f"{cause}/{event}"})
        return due

    def disabled(
        self, connection: Connection, webhook_id: str, reason: str, cause: str, at: datetime
    ) -> list[DueDelivery]:
        """Disable a webhook and tell the owner's others of it. `cause` is the delivery that failed."""
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
        told: dict[str, Any] = {"owner": disabled.owner, "event": event, "at": at, "cause": cause, "data": data}
        others = select(webhooks.c.id, webhooks.c.url, webhooks.c.events).where(
            webhooks.c.owner == disabled.owner, webhooks.c.disabled_at.is_(None)
        )
        due: list[DueDelivery] = []
        for one in connection.execute(others).all():
            if event in one.events:
                due += self._add(connection, webhook_id=one.id, url=one.url, **told)
        return due

    def told(
        self, connection: Connection, *, owner: str, event: WebhookEvent, cause: str, data: dict[str, Any], at: datetime
    ) -> list[DueDelivery]:
        """The deliveries, as far as they are new, of something that is no job's end."""
        hooks = select(webhooks.c.id, webhooks.c.url, webhooks.c.events).where(
            webhooks.c.owner == owner, webhooks.c.disabled_at.is_(None), webhooks.c.created_at <= at
        )
        due: list[DueDelivery] = []
        for one in connection.execute(hooks).all():
            if event in one.events:
                due += self._add(
                    connection, owner=owner, webhook_id=one.id, url=one.url, event=event, at=at, cause=cause, data=data
                )
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
        """The new delivery, or nothing when it was there."""
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
    """The deliveries of the index. Every method raises `Unavailable` when the database does not answer."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._outbox = Outbox(db)

    async def add(self, row: Delivery) -> None:
        """Write a delivery that somebody asked for."""
        add = deliveries.insert().values(_new_row(row))
        await self._db.autocommit(lambda connection: connection.execute(add).close())

    async def tell(
        self, owner: str, event: WebhookEvent, *, cause: str, data: dict[str, Any], at: datetime
    ) -> builtins.list[DueDelivery]:
        """Write that an owner's webhooks are to be told of something, each once per `cause`; answers what is new."""
        return await self._db.transaction(
            lambda connection: self._outbox.told(connection, owner=owner, event=event, cause=cause, data=data, at=at)
        )

    async def get(self, delivery_id: str) -> Delivery | None:
        """A delivery, or None."""
        wanted = select(*_ROW).where(deliveries.c.id == delivery_id)
        found = await self._db.autocommit(lambda connection: connection.execute(wanted).mappings().first())
        return None if found is None else _row(found)

    async def started(self, ids: builtins.list[str]) -> None:
        """Temporal has their workflows."""
        mark = update(deliveries).where(deliveries.c.id.in_(ids)).values(started=True)
        await self._db.autocommit(lambda connection: connection.execute(mark).close())

    async def unstarted(self, *, before: datetime, limit: int) -> builtins.list[DueDelivery]:
        """Deliveries of before that nobody started, oldest first."""
        wanted = (
            select(*_DUE)
            .where(
                _PENDING,
                deliveries.c.started.is_(False),
                deliveries.c.created_at < before,
            )
            .order_by(deliveries.c.created_at)
            .limit(limit)
        )
        found = await self._db.autocommit(lambda connection: connection.execute(wanted).mappings().all())
        return [DueDelivery(**each) for each in found]

    async def overdue(self, *, before: datetime, limit: int) -> builtins.list[DueDelivery]:
        """Started deliveries of which an attempt was due before and none has been written, oldest first."""
        due = func.coalesce(deliveries.c.next_attempt_at, deliveries.c.created_at)
        wanted = (
            select(*_DUE)
            .where(_PENDING, deliveries.c.started.is_(True), due < before)
            .order_by(deliveries.c.created_at)
            .limit(limit)
        )
        found = await self._db.autocommit(lambda connection: connection.execute(wanted).mappings().all())
        return [DueDelivery(**each) for each in found]

    async def give_up(self, delivery_id: str, state: DeliveryState, *, at: datetime) -> bool:
        """End a pending delivery without another attempt; False when it was not pending any more."""
        end = _settle(delivery_id).values(state=state, next_attempt_at=None, completed_at=at)
        return await self._db.autocommit(lambda connection: connection.execute(end).rowcount > 0)

    async def record(
        self,
        delivery: Delivery,
        attempt: MadeAttempt,
        *,
        state: DeliveryState,
        next_attempt_at: datetime | None,
        disabling: str | None,
    ) -> builtins.list[DueDelivery]:
        """Write an attempt at the delivery's `url` and what follows from it; one that is made again overwrites itself.

        `disabling` is why the webhook is disabled by it, if it is. Answers what others have to be told of that.
        """
        columns = {name: getattr(attempt, name) for name in MadeAttempt.__dataclass_fields__}
        row = self._db.insert(delivery_attempts).values(delivery_id=delivery.id, **columns)
        keep = row.on_conflict_do_update(index_elements=_key(delivery_attempts), set_=columns)
        ended_at = attempt.at + timedelta(seconds=attempt.duration)
        settle = _settle(delivery.id).values(
            url=delivery.url,
            state=state,
            attempts=attempt.number,
            next_attempt_at=next_attempt_at,
            completed_at=None if state is DeliveryState.PENDING else ended_at,
        )

        def write(connection: Connection) -> builtins.list[DueDelivery]:
            connection.execute(keep)
            connection.execute(settle)
            if disabling is None or delivery.webhook_id is None:
                return []
            return self._outbox.disabled(connection, delivery.webhook_id, disabling, delivery.id, ended_at)

        return await self._db.transaction(write)

    async def delivered_since(self, webhook_id: str, moment: datetime) -> bool:
        """Whether a webhook has taken any delivery since then."""
        taken = select(
            exists().where(
                deliveries.c.webhook_id == webhook_id,
                deliveries.c.state == DeliveryState.DELIVERED,
                deliveries.c.completed_at >= moment,
            )
        )
        return bool(await self._db.autocommit(lambda connection: connection.execute(taken).scalar_one()))

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
        """One page of deliveries, newest first, each with its attempts, and the number of all that match."""
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
            rows = [_row(each) for each in connection.execute(page).mappings()]
            made = _attempts(connection, [row.id for row in rows])
            return [(row, made.get(row.id, [])) for row in rows], connection.execute(count).scalar_one()

        return await self._db.autocommit(read)


def _new_row(row: Delivery) -> dict[str, Any]:
    """The columns of a delivery that is not started yet."""
    return {name: getattr(row, name) for name in Delivery.__dataclass_fields__} | {"started": False}


def _settle(delivery_id: str) -> Any:
    return update(deliveries).where(deliveries.c.id == delivery_id, deliveries.c.state == DeliveryState.PENDING)


def _key(table: Table) -> list[str]:
    return [column.name for column in table.primary_key.columns]


def _row(found: RowMapping) -> Delivery:
    return Delivery(**found)


def _attempts(connection: Connection, ids: list[str]) -> dict[str, list[MadeAttempt]]:
    if not ids:
        return {}
    wanted = (
        select(delivery_attempts.c.delivery_id, *_ATTEMPT)
        .where(delivery_attempts.c.delivery_id.in_(ids))
        .order_by(delivery_attempts.c.delivery_id, delivery_attempts.c.number)
    )
    made: dict[str, list[MadeAttempt]] = {}
    for each in connection.execute(wanted).mappings():
        columns = {name: each[name] for name in MadeAttempt.__dataclass_fields__}
        made.setdefault(each["delivery_id"], []).append(MadeAttempt(**columns))
    return made
