"""Webhooks that callers registered; their secrets are sealed before they come here (D-098)."""

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
    """The secrets of a webhook as they are stored."""

    webhook_id: str
    secret: str
    previous_secret: str | None


class WebhookRepository:
    """The webhooks of the index. Every method raises `Unavailable` when the database does not answer."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, row: Webhook, *, most: int) -> None:
        """Write a new webhook. Raises `InvalidInput` when its owner has `most` of them."""
        new = {name: getattr(row, name) for name in Webhook.__dataclass_fields__}

        def write(connection: Connection) -> None:
            add_row(connection, webhooks, new, most=most, kind="webhooks", remedy="delete one first")

        await self._db.transaction(write, owner=row.owner)

    async def get(self, webhook_id: str) -> Webhook | None:
        """A webhook, or None."""
        wanted = select(*_ROW).where(webhooks.c.id == webhook_id)
        found = await self._db.autocommit(lambda connection: connection.execute(wanted).mappings().first())
        return None if found is None else _row(found)

    async def list(
        self, *, owner: str | None, limit: int, offset: int, after: Position | None = None
    ) -> tuple[builtins.list[Webhook], int]:
        """One page of an owner's webhooks (None: everybody's), oldest first, and the number of all."""
        matching = [] if owner is None else [webhooks.c.owner == owner]
        count = select(func.count()).select_from(webhooks).where(*matching)
        oldest = (webhooks.c.created_at, webhooks.c.id)
        page = select(*_ROW).where(*matching).order_by(*oldest).limit(limit).offset(offset)
        if after is not None:
            page = page.where(keyset.after(after, webhooks.c.created_at, webhooks.c.id, newest_first=False))

        def read(connection: Connection) -> tuple[builtins.list[Webhook], int]:
            rows = [_row(each) for each in connection.execute(page).mappings()]
            return rows, connection.execute(count).scalar_one()

        return await self._db.autocommit(read)

    async def change(self, webhook_id: str, **values: Any) -> Webhook | None:
        """Change columns of a webhook and read it back; None when it is gone."""
        change = update(webhooks).where(webhooks.c.id == webhook_id).values(**values).returning(*_ROW)
        found = await self._db.autocommit(lambda connection: connection.execute(change).mappings().first())
        return None if found is None else _row(found)

    async def secrets(self, *, after: str, limit: int) -> builtins.list[SealedSecrets]:
        """The sealed secrets of some webhooks, in order of their ids, beginning after one of them."""
        wanted = select(webhooks.c.id, webhooks.c.secret, webhooks.c.previous_secret)
        page = wanted.where(webhooks.c.id > after).order_by(webhooks.c.id).limit(limit)
        rows = await self._db.autocommit(lambda connection: connection.execute(page).all())
        return [SealedSecrets(*row) for row in rows]

    async def resealed(self, old: SealedSecrets, new: SealedSecrets) -> bool:
        """Replace the sealed secrets of a webhook; False when they have changed meanwhile, or it is gone."""
        same = (
            webhooks.c.id == old.webhook_id,
            webhooks.c.secret == old.secret,
            webhooks.c.previous_secret.is_not_distinct_from(old.previous_secret),
        )
        change = update(webhooks).where(*same).values(secret=new.secret, previous_secret=new.previous_secret)
        return await self._db.autocommit(lambda connection: connection.execute(change).rowcount > 0)

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
