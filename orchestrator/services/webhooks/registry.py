"""Webhooks of a caller: register, list, change, rotate the secret, test, delete (D-098, D-099)."""

import base64
import builtins
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from orchestrator.domain.access import Principal, Scope
from orchestrator.domain.errors import InvalidInput, NotFound, WrongState
from orchestrator.domain.pages import Position
from orchestrator.domain.rows import MOST_WEBHOOKS
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
_MADE: Final = "whsec_"
_TOLD: Final = Scope.JOBS_READ  # webhooks carry the outputs of every job of an owner away


@dataclass(frozen=True, slots=True)
class Registered:
    """A webhook; `secret` only when it was made here, and never again."""

    webhook: Webhook
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class WebhookPage:
    """One page of webhooks, oldest first, and how many there are in all."""

    rows: list[Webhook]
    total: int


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """One page of deliveries with their attempts, newest first, and how many there are in all."""

    rows: list[tuple[Delivery, list[MadeAttempt]]]
    total: int


class WebhookRegistry:
    """Every method raises `Unavailable`; those that name a webhook `NotFound`, also for another owner's; those that
    change something `Forbidden`."""

    def __init__(
        self,
        webhooks: WebhookRepository,
        deliveries: DeliveryRepository,
        dispatcher: DeliveryDispatcher,
        sealer: Sealer,
        *,
        check_url: Callable[[str, str], Awaitable[object]],
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self._webhooks = webhooks
        self._deliveries = deliveries
        self._dispatcher = dispatcher
        self._sealer = sealer
        self._check_url = check_url
        self._clock = clock
        self._new_id = new_id

    async def register(
        self,
        principal: Principal,
        *,
        url: str,
        events: Sequence[str],
        secret: str | None = None,
        any_event: bool = False,
    ) -> Registered:
        """A new webhook of the caller's own, which stops with their API key. One that a user registers has none.

        With `any_event` it may name events that nothing tells of (C-52).
        Raises `InvalidInput` for the URL, an event, the secret, or one too many.
        """
        principal.require(_TOLD)
        _check_secret(secret)
        known = [*dict.fromkeys(events)] if any_event else _known(events)
        await self._check_url(url, principal.id)
        at = self._clock()
        made = None if secret else _new_secret()
        new_id = f"wh_{self._new_id()}"
        row = Webhook(
            id=new_id,
            owner=principal.id,
            url=url,
            events=known,
            secret=self._sealer.seal(secret or made or "", sealed_for(new_id)),
            created_at=at,
            updated_at=at,
            key_id=principal.key,
        )
        await self._webhooks.add(row, most=MOST_WEBHOOKS)
        log.info("webhook_registered", webhook_id=row.id, owner=row.owner, events=known)
        return Registered(row, made)

    async def list(
        self, principal: Principal, *, limit: int, offset: int = 0, after: Position | None = None
    ) -> WebhookPage:
        """One page of the caller's webhooks, or of everybody's for an admin."""
        owner = None if principal.admin else principal.id
        rows, total = await self._webhooks.list(owner=owner, limit=limit, offset=offset, after=after)
        return WebhookPage(rows, total)

    async def own(self, principal: Principal) -> builtins.list[Webhook]:
        """Every webhook of the caller's own, oldest first."""
        rows, _ = await self._webhooks.list(owner=principal.id, limit=MOST_WEBHOOKS, offset=0)
        return rows

    async def get(self, principal: Principal, webhook_id: str) -> Webhook:
        """One webhook."""
        row = await self._webhooks.get(webhook_id)
        if row is None or not principal.sees(row.owner):
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
        """The webhook with other values; None leaves one as it is. To activate it forgets why it was disabled.

        Raises `InvalidInput`.
        """
        row = await self._changeable(principal, webhook_id)
        values: dict[str, Any] = {"updated_at": self._clock(), "key_id": _answering(principal, row)}
        if events is not None:
            values["events"] = _known(events)
        if url is not None:
            await self._check_url(url, row.owner)
            values["url"] = url
        if active:
            values |= {"disabled_at": None, "disabled_reason": None}
        elif active is False and row.disabled_at is None:
            values |= {"disabled_at": values["updated_at"], "disabled_reason": "Switched off on request"}
        return await self._changed(webhook_id, **values)

    async def rotate(
        self, principal: Principal, webhook_id: str, *, overlap: timedelta, secret: str | None = None
    ) -> Registered:
        """Another secret. During the overlap the old one signs, too, so that receivers can change over.

        Raises `InvalidInput` for the secret.
        """
        _check_secret(secret)
        row = await self._changeable(principal, webhook_id)
        at = self._clock()
        made = None if secret else _new_secret()
        changed = await self._changed(
            webhook_id,
            secret=self._sealer.seal(secret or made or "", row.sealed_for),
            previous_secret=row.secret if overlap else None,
            previous_until=at + overlap if overlap else None,
            updated_at=at,
            key_id=_answering(principal, row),
        )
        return Registered(changed, made)

    async def delete(self, principal: Principal, webhook_id: str) -> None:
        """Forget a webhook, and drop what it still should be told."""
        await self._changeable(principal, webhook_id)
        if not await self._webhooks.delete(webhook_id, at=self._clock()):
            raise _unknown(webhook_id)
        log.info("webhook_deleted", webhook_id=webhook_id)

    async def test(self, principal: Principal, webhook_id: str) -> Delivery:
        """A delivery of `webhook.test`, attempted once, now. Raises `WrongState` for a disabled webhook."""
        row = _active(await self._changeable(principal, webhook_id))
        new_id = self._delivery_id()
        return await self._deliver(row, WebhookEvent.WEBHOOK_TEST, new_id, new_id, data={"webhook_id": row.id})

    async def redeliver(self, principal: Principal, webhook_id: str, delivery_id: str) -> Delivery:
        """The same message once more, with attempts of its own. Raises `NotFound`, `WrongState` while it is pending."""
        row = _active(await self._changeable(principal, webhook_id))
        old = await self._deliveries.get(delivery_id)
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
        rows, total = await self._deliveries.list(
            webhook_id=webhook_id, state=state, limit=limit, offset=offset, after=after
        )
        return DeliveryPage(rows, total)

    async def deliveries_of_job(
        self, job_id: str, *, limit: int, offset: int = 0, after: Position | None = None
    ) -> DeliveryPage:
        """One page of what was told of a job that the caller was seen to see: its own callback's and its owner's."""
        rows, total = await self._deliveries.list(job_id=job_id, limit=limit, offset=offset, after=after)
        return DeliveryPage(rows, total)

    async def _changeable(self, principal: Principal, webhook_id: str) -> Webhook:
        """A webhook that the caller may change. Raises `Forbidden`, `NotFound`."""
        principal.require(_TOLD)
        return await self.get(principal, webhook_id)

    def _delivery_id(self) -> str:
        return f"whd_{self._new_id()}"

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
            created_at=self._clock(),
        )
        await self._deliveries.add(delivery)
        self._dispatcher.dispatch([delivery])
        return delivery

    async def _changed(self, webhook_id: str, **values: Any) -> Webhook:
        changed = await self._webhooks.change(webhook_id, **values)
        if changed is None:
            raise _unknown(webhook_id)
        return changed


def _known(events: Sequence[str]) -> list[str]:
    """The events, each once. Raises `InvalidInput`, naming those that there are."""
    allowed = ", ".join(SUBSCRIBABLE)
    for event in events:
        if event not in SUBSCRIBABLE:
            raise InvalidInput(
                f"Unknown event: {event[:80]!r}", field="events", provided=event[:80], expected=f"one of {allowed}"
            )
    if not events:
        raise InvalidInput("A webhook needs an event", field="events", provided=[], expected=f"some of {allowed}")
    return [str(event) for event in dict.fromkeys(events)]


def _new_secret() -> str:
    return _MADE + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def _check_secret(secret: str | None) -> None:
    """Raises `InvalidInput` for one that begins like those made here and is no base64: no receiver could read it."""
    if secret is None or not secret.startswith(_MADE):
        return
    try:
        readable = base64.b64decode(secret.removeprefix(_MADE), validate=True)
    except ValueError:
        readable = b""
    if not readable:
        expected = f"base64 after {_MADE}, or a secret that does not begin like this"
        raise InvalidInput(f"What follows {_MADE} in the secret is not base64", field="secret", expected=expected)


def _answering(principal: Principal, row: Webhook) -> str | None:
    """The API key that answers for a webhook once a caller has changed it: theirs, unless they are its admin."""
    return principal.key if principal.id == row.owner else row.key_id


def _active(row: Webhook) -> Webhook:
    if row.disabled_at is not None:
        raise WrongState(f"Webhook {row.id} is disabled: activate it first", webhook_id=row.id)
    return row


def _unknown(webhook_id: str) -> NotFound:
    return NotFound(f"Unknown webhook: {webhook_id[:80]}", webhook_id=webhook_id[:80])
