"""Webhooks that callers registered; their secrets are sealed before they come here (D-098)."""

import builtins
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update

from orchestrator.domain.webhooks import DeliveryState, Webhook
from orchestrator.storage.database import Database
from orchestrator.storage.locks import lock_owner
from orchestrator.storage.tables import deliveries, webhooks

_ROW: Final = tuple(webhooks.c[name] for name in Webhook.__dataclass_fields__)


class WebhookRepository:
    """The webhooks of the index. Every method raises `Unavailable` when the database does not answer."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, row: Webhook, *, most: int) -> bool:
        """Write a new webhook; False when its owner has `most` of them."""
        had = select(func.count()).select_from(webhooks).where(webhooks.c.owner == row.owner)
        new = insert(webhooks).values({name: getattr(row, name) for name in Webhook.__dataclass_fields__})

        def write(connection: Connection) -> bool:
            lock_owner(connection, row.owner)
            if connection.execute(had).scalar_one() >= most:
                return False
            connection.execute(new)
            return True

        return await self._db.transaction(write)

    async def get(self, webhook_id: str) -> Webhook | None:
        """A webhook, or None."""
        wanted = select(*_ROW).where(webhooks.c.id == webhook_id)
        found = await self._db.autocommit(lambda connection: connection.execute(wanted).mappings().first())
        return None if found is None else _row(found)

    async def list(self, *, owner: str | None, limit: int, offset: int) -> tuple[builtins.list[Webhook], int]:
        """One page of an owner's webhooks (None: everybody's), oldest first, and the number of all."""
        matching = [] if owner is None else [webhooks.c.owner == owner]
        count = select(func.count()).select_from(webhooks).where(*matching)
        oldest = (webhooks.c.created_at, webhooks.c.id)
        page = select(*_ROW).where(*matching).order_by(*oldest).limit(limit).offset(offset)

        def read(connection: Connection) -> tuple[builtins.list[Webhook], int]:
            rows = [_row(each) for each in connection.execute(page).mappings()]
            return rows, connection.execute(count).scalar_one()

        return await self._db.autocommit(read)

    async def change(self, webhook_id: str, **values: Any) -> Webhook | None:
        """Change columns of a webhook and read it back; None when it is gone."""
        change = update(webhooks).where(webhooks.c.id == webhook_id).values(**values).returning(*_ROW)
        found = await self._db.autocommit(lambda connection: connection.execute(change).mappings().first())
        return None if found is None else _row(found)

    async def delete(self, webhook_id: str, *, at: datetime) -> bool:
        """Forget a webhook and drop what it still should be told; False when it was gone."""
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


def _row(found: RowMapping) -> Webhook:
    return Webhook(**found)
