"""Registers, lists, changes, tests and deletes webhooks, and rotates their secrets (D-098, D-099)."""

import base64
import builtins
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from orchestrator.domain.access import Principal, Scope
from orchestrator.domain.errors import InvalidInput, NotFound, WrongState
from orchestrator.domain.near_matches import near_match
from orchestrator.domain.pages import Position
from orchestrator.domain.rows import MAX_WEBHOOKS
from orchestrator.domain.webhooks import (
    SUBSCRIBABLE,
    Delivery,
    DeliveryState,
    MadeAttempt,
    Webhook,
    WebhookEvent,
    sealed_for,
)
from orchestrator.security.sealing import Sealer
from orchestrator.services.webhooks.dispatcher import DeliveryDispatcher
from orchestrator.storage.deliveries import DeliveryRepository
from orchestrator.storage.webhooks import WebhookRepository

log = structlog.get_logger(__name__)

_SECRET_BYTES: Final = 32
_SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - no secret follows
_SCOPE: Final = Scope.JOBS_READ  # webhooks send the outputs of every job of an owner


@dataclass(frozen=True, slots=True)
class Registered:
    """A webhook. `secret` is set only if it was generated here, and returned only this once."""

    webhook: Webhook
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class WebhookPage:
    """One page of webhooks, oldest first, and the total."""

    rows: list[Webhook]
    total: int


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """One page of deliveries with their attempts, newest first, and the total."""

    rows: list[tuple[Delivery, list[MadeAttempt]]]
    total: int


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class WebhookRegistry:
    """Webhooks of callers.

    Every method raises `Unavailable`. Methods that name a webhook raise `NotFound`, also for another owner's webhook.
    Methods that change something raise `Forbidden`.
    """

    webhooks: WebhookRepository
    outbox: DeliveryRepository
    dispatcher: DeliveryDispatcher
    sealer: Sealer
    _: KW_ONLY
    check_url: Callable[[str, str], Awaitable[object]]
    clock: Callable[[], datetime]
    new_id: Callable[[], str]

    async def register(
        self,
        principal: Principal,
        *,
        url: str,
        events: Sequence[str],
        secret: str | None = None,
        any_event: bool = False,
    ) -> Registered:
        """A new webhook of the caller. It ends with the caller's API key; the webhook of a user has no such key.

        With `any_event` it may name events that never happen (C-52).
        Raises `InvalidInput` for the URL, an event or the secret, or if the caller has too many webhooks.
        """
        principal.require(_SCOPE)
        _check_secret(secret)
        event_names = [*dict.fromkeys(events)] if any_event else _checked_events(events)
        await self.check_url(url, principal.id)
        at = self.clock()
        new_secret = None if secret else _new_secret()
        new_id = f"wh_{self.new_id()}"
        row = Webhook(
            id=new_id,
            owner=principal.id,
            url=url,
            events=event_names,
            secret=self.sealer.seal(secret or new_secret or "", sealed_for(new_id)),
            created_at=at,
            updated_at=at,
            key_id=principal.key,
        )
        await self.webhooks.add(row, most=MAX_WEBHOOKS)
        log.info("webhook_registered", webhook_id=row.id, owner=row.owner, events=event_names)
        return Registered(row, new_secret)

    async def list(
        self, principal: Principal, *, limit: int, offset: int = 0, after: Position | None = None
    ) -> WebhookPage:
        """One page of the caller's webhooks. An admin lists the webhooks of everybody."""
        owner = None if principal.admin else principal.id
        rows, total = await self.webhooks.list(owner=owner, limit=limit, offset=offset, after=after)
        return WebhookPage(rows, total)

    async def own(self, principal: Principal) -> builtins.list[Webhook]:
        """Every webhook that the caller owns, oldest first."""
        rows, _ = await self.webhooks.list(owner=principal.id, limit=MAX_WEBHOOKS, offset=0)
        return rows

    async def get(self, principal: Principal, webhook_id: str) -> Webhook:
        """One webhook."""
        row = await self.webhooks.get(webhook_id)
        if row is None or not principal.can_see(row.owner):
            raise _unknown(webhook_id)
        return row

    async def change(
        self,
        principal: Principal,
        webhook_id: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        active: bool | None = None,
    ) -> Webhook:
        """Change the given fields; None leaves a field as it is. `active` True clears the reason of a disabled webhook.

        Raises `InvalidInput`.
        """
        row = await self._require_changeable(principal, webhook_id)
        values: dict[str, Any] = {"updated_at": self.clock(), "key_id": _key_of(principal, row)}
        if events is not None:
            values["events"] = _checked_events(events)
        if url is not None:
            await self.check_url(url, row.owner)
            values["url"] = url
        if active:
            values |= {"disabled_at": None, "disabled_reason": None}
        elif active is False and row.disabled_at is None:
            values |= {"disabled_at": values["updated_at"], "disabled_reason": "Switched off on request"}
        return await self._change_row(webhook_id, **values)

    async def rotate(
        self, principal: Principal, webhook_id: str, *, overlap: timedelta, secret: str | None = None
    ) -> Registered:
        """A new secret. During `overlap` the old one signs too, so that receivers can change over.

        Raises `InvalidInput` for an invalid secret.
        """
        _check_secret(secret)
        row = await self._require_changeable(principal, webhook_id)
        at = self.clock()
        new_secret = None if secret else _new_secret()
        changed = await self._change_row(
            webhook_id,
            secret=self.sealer.seal(secret or new_secret or "", row.sealed_for),
            previous_secret=row.secret if overlap else None,
            previous_until=at + overlap if overlap else None,
            updated_at=at,
            key_id=_key_of(principal, row),
        )
        return Registered(changed, new_secret)

    async def delete(self, principal: Principal, webhook_id: str) -> None:
        """Delete a webhook. Pending deliveries are dropped."""
        await self._require_changeable(principal, webhook_id)
        if not await self.webhooks.delete(webhook_id, at=self.clock()):
            raise _unknown(webhook_id)
        log.info("webhook_deleted", webhook_id=webhook_id)

    async def test(self, principal: Principal, webhook_id: str) -> Delivery:
        """A delivery of `webhook.test`, attempted once at once. Raises `WrongState` for a disabled webhook."""
        row = _require_active(await self._require_changeable(principal, webhook_id))
        new_id = self._delivery_id()
        return await self._deliver(row, WebhookEvent.WEBHOOK_TEST, new_id, new_id, data={"webhook_id": row.id})

    async def redeliver(self, principal: Principal, webhook_id: str, delivery_id: str) -> Delivery:
        """Deliver the same message again, with new attempts. Raises `NotFound`, `WrongState` while it is pending."""
        row = _require_active(await self._require_changeable(principal, webhook_id))
        old = await self.outbox.get(delivery_id)
        if old is None or old.webhook_id != webhook_id:
            raise NotFound(f"Unknown delivery: {delivery_id[:80]}", delivery_id=delivery_id[:80])
        if old.state is DeliveryState.PENDING:
            raise WrongState(f"Delivery {old.id} is still being attempted", delivery_id=old.id, state=str(old.state))
        return await self._deliver(
            row, old.event, self._delivery_id(), old.message_id, job_id=old.job_id, data=old.data
        )

    async def deliveries(
        self,
        principal: Principal,
        webhook_id: str,
        *,
        state: DeliveryState | None,
        limit: int,
        offset: int = 0,
        after: Position | None = None,
    ) -> DeliveryPage:
        """One page of a webhook's deliveries."""
        await self.get(principal, webhook_id)
        rows, total = await self.outbox.list(
            webhook_id=webhook_id, state=state, limit=limit, offset=offset, after=after
        )
        return DeliveryPage(rows, total)

    async def deliveries_of_job(
        self, job_id: str, *, limit: int, offset: int = 0, after: Position | None = None
    ) -> DeliveryPage:
        """One page of the deliveries for a job that the caller may see: its callback's and its owner's webhooks'."""
        rows, total = await self.outbox.list(job_id=job_id, limit=limit, offset=offset, after=after)
        return DeliveryPage(rows, total)

    async def _require_changeable(self, principal: Principal, webhook_id: str) -> Webhook:
        """A webhook that the caller may change. Raises `Forbidden`, `NotFound`."""
        principal.require(_SCOPE)
        return await self.get(principal, webhook_id)

    def _delivery_id(self) -> str:
        return f"whd_{self.new_id()}"

    async def _deliver(
        self,
        webhook: Webhook,
        event: str,
        new_id: str,
        message_id: str,
        *,
        data: dict[str, Any] | None,
        job_id: str | None = None,
    ) -> Delivery:
        delivery = Delivery(
            id=new_id,
            owner=webhook.owner,
            event=event,
            url=webhook.url,
            webhook_id=webhook.id,
            job_id=job_id,
            message_id=message_id,
            data=data,
            state=DeliveryState.PENDING,
            attempts=0,
            created_at=self.clock(),
        )
        await self.outbox.add(delivery)
        self.dispatcher.dispatch([delivery])
        return delivery

    async def _change_row(self, webhook_id: str, **values: Any) -> Webhook:
        changed = await self.webhooks.change(webhook_id, **values)
        if changed is None:
            raise _unknown(webhook_id)
        return changed


def _checked_events(events: Sequence[str]) -> list[str]:
    """The events without duplicates. Raises `InvalidInput`, which names the existing events."""
    allowed = ", ".join(SUBSCRIBABLE)
    for event in events:
        if event not in SUBSCRIBABLE:
            hint = near_match(event, SUBSCRIBABLE) or f" Expected one of {allowed}"
            raise InvalidInput(
                f"Unknown event: {event[:80]!r}.{hint}",
                field="events",
                provided=event[:80],
                expected=f"one of {allowed}",
            )
    if not events:
        raise InvalidInput(
            "A webhook needs at least one event", field="events", provided=[], expected=f"some of {allowed}"
        )
    return [str(event) for event in dict.fromkeys(events)]


def _new_secret() -> str:
    return _SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def _check_secret(secret: str | None) -> None:
    """Raise `InvalidInput` for `whsec_` without base64 after it: receivers could not read such a secret."""
    if secret is None or not secret.startswith(_SECRET_PREFIX):
        return
    try:
        decoded = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except ValueError:
        decoded = b""
    if not decoded:
        expected = f"base64 after {_SECRET_PREFIX}, or a secret with another beginning"
        raise InvalidInput(
            f"invalid secret: the text after {_SECRET_PREFIX} is not base64", field="secret", expected=expected
        )


def _key_of(principal: Principal, row: Webhook) -> str | None:
    """The API key of a webhook after a change: that of the caller, or the old one if an admin changed it."""
    return principal.key if principal.id == row.owner else row.key_id


def _require_active(row: Webhook) -> Webhook:
    if row.disabled_at is not None:
        raise WrongState(f"Webhook {row.id} is disabled: activate it first", webhook_id=row.id)
    return row


def _unknown(webhook_id: str) -> NotFound:
    return NotFound(f"Unknown webhook: {webhook_id[:80]}", webhook_id=webhook_id[:80])
