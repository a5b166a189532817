"""Rows of webhooks. Their secrets are sealed by the caller (D-098)."""

import builtins
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, delete, func, select, update

from orchestrator.domain.pages import Position
from orchestrator.domain.webhooks import DeliveryState, Webhook
from orchestrator.storage import keyset
from orchestrator.storage.database import Database
from orchestrator.storage.owned_rows import add_row
from orchestrator.storage.tables import deliveries, webhooks

_ROW: Final = tuple(webhooks.c[name] for name in Webhook.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class SealedSecrets:
    """The stored, sealed secrets of a webhook."""

    webhook_id: str
    secret: str
    previous_secret: str | None


class WebhookRepository:
    """The webhooks of the index. Every method raises `Unavailable` if the database does not answer."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, row: Webhook, *, most: int) -> None:
        """Insert a webhook. Raises `InvalidInput` if its owner already has `most`."""
        new = {name: getattr(row, name) for name in Webhook.__dataclass_fields__}

        def write(connection: Connection) -> None:
            add_row(connection, webhooks, new, most=most, kind="webhooks", remedy="delete one first")

        await self._db.transaction(write, owner=row.owner)

    async def get(self, webhook_id: str) -> Webhook | None:
        """A webhook, or None."""
        query = select(*_ROW).where(webhooks.c.id == webhook_id)
        row = await self._db.autocommit(lambda connection: connection.execute(query).mappings().first())
        return None if row is None else _row(row)

    async def list(
        self, *, owner: str | None, limit: int, offset: int, after: Position | None = None
    ) -> tuple[builtins.list[Webhook], int]:
        """One page of an owner's webhooks, or of all owners for None, oldest first, and the number of all."""
        matching = [] if owner is None else [webhooks.c.owner == owner]
        count = select(func.count()).select_from(webhooks).where(*matching)
        oldest = (webhooks.c.created_at, webhooks.c.id)
        page = select(*_ROW).where(*matching).order_by(*oldest).limit(limit).offset(offset)
        if after is not None:
            page = page.where(keyset.after(after, webhooks.c.created_at, webhooks.c.id, newest_first=False))

        def read(connection: Connection) -> tuple[builtins.list[Webhook], int]:
            rows = [_row(row) for row in connection.execute(page).mappings()]
            return rows, connection.execute(count).scalar_one()

        return await self._db.autocommit(read)

    async def change(self, webhook_id: str, **values: Any) -> Webhook | None:
        """Change columns of a webhook and return it. None if there is no such webhook."""
        change = update(webhooks).where(webhooks.c.id == webhook_id).values(**values).returning(*_ROW)
        row = await self._db.autocommit(lambda connection: connection.execute(change).mappings().first())
        return None if row is None else _row(row)

    async def secrets(self, *, after: str, limit: int) -> builtins.list[SealedSecrets]:
        """The sealed secrets of up to `limit` webhooks with an id above `after`, ordered by id."""
        query = select(webhooks.c.id, webhooks.c.secret, webhooks.c.previous_secret)
        page = query.where(webhooks.c.id > after).order_by(webhooks.c.id).limit(limit)
        rows = await self._db.autocommit(lambda connection: connection.execute(page).all())
        return [SealedSecrets(*row) for row in rows]

    async def resealed(self, old: SealedSecrets, new: SealedSecrets) -> bool:
        """Replace the sealed secrets of a webhook. False if they are no longer `old`, or the webhook is deleted."""
        is_unchanged = (
            webhooks.c.id == old.webhook_id,
            webhooks.c.secret == old.secret,
            webhooks.c.previous_secret.is_not_distinct_from(old.previous_secret),
        )
        change = update(webhooks).where(*is_unchanged).values(secret=new.secret, previous_secret=new.previous_secret)
        return await self._db.autocommit(lambda connection: connection.execute(change).rowcount > 0)

    async def delete(self, webhook_id: str, *, at: datetime) -> bool:
        """Delete a webhook and drop its pending deliveries. False if there is no such webhook."""
        forget = delete(webhooks).where(webhooks.c.id == webhook_id)
        drop = (
            update(deliveries)
            .where(deliveries.c.webhook_id == webhook_id, deliveries.c.state == DeliveryState.PENDING)
            .values(state=DeliveryState.DROPPED, next_attempt_at=None, completed_at=at)
        )

        def write(connection: Connection) -> bool:
            connection.execute(drop)
            return connection.execute(forget).rowcount > 0

        return await self._db.transaction(write)


def _row(row: RowMapping) -> Webhook:
    return Webhook(**row)
