"""Makes one attempt of a webhook delivery: body, signatures, post, and the state that follows (A10)."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from orchestrator.domain.access import KeyState, Scope
from orchestrator.domain.errors import NotFound
from orchestrator.domain.moments import stamp
from orchestrator.domain.ports import WebhookSender
from orchestrator.domain.webhooks import (
    Delivery,
    DeliveryAttempt,
    DeliveryReport,
    DeliveryState,
    DeliveryVerdict,
    MadeAttempt,
    Posted,
    Posting,
    Webhook,
    WebhookEvent,
)
from orchestrator.security.sealing import Sealer, Unsealable, callback_secrets
from orchestrator.services.webhooks.dispatcher import DeliveryDispatcher
from orchestrator.services.webhooks.payloads import DeliveryBodies
from orchestrator.storage.deliveries import DeliveryRepository
from orchestrator.storage.keys import KeyRepository
from orchestrator.storage.webhooks import WebhookRepository

log = structlog.get_logger(__name__)

_MAX_WAIT: Final = 86400.0  # The most seconds that a receiver may request with Retry-After.


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class WebhookDeliverer:
    """The port `Deliveries`. At least once: an attempt without a record is repeated with the same message id."""

    deliveries: DeliveryRepository
    webhooks: WebhookRepository
    keys: KeyRepository
    bodies: DeliveryBodies
    _: KW_ONLY
    sender: WebhookSender
    sealer: Sealer
    dispatcher: DeliveryDispatcher
    clock: Callable[[], datetime]

    async def attempt(self, attempt: DeliveryAttempt) -> DeliveryReport:
        """Make one attempt and record it.

        Raises `Unavailable` if the index does not answer, or the owner has too many look-ups of host names at once.
        """
        delivery = await self.deliveries.get(attempt.delivery_id)
        if delivery is None:
            return DeliveryReport(state=DeliveryState.DROPPED)
        if delivery.state is not DeliveryState.PENDING:
            return DeliveryReport(state=delivery.state)
        webhook = await self.webhooks.get(delivery.webhook_id) if delivery.webhook_id else None
        if delivery.webhook_id and (webhook is None or webhook.disabled_at):
            return await self._drop(delivery, "its webhook was deleted or disabled")
        if webhook:
            delivery = replace(delivery, url=webhook.url)  # the owner may have changed the URL
        at = self.clock()
        if webhook and (reason := await self._key_problem(webhook, at)) is not None:
            await self.webhooks.change(webhook.id, disabled_at=at, disabled_reason=reason)
            log.warning("webhook_disabled", webhook_id=webhook.id, owner=webhook.owner, reason=reason)
            return await self._drop(delivery, reason)
        try:
            body = await self.bodies.of(delivery)
            if webhook and body["event"] != delivery.event and body["event"] not in webhook.events:
                return await self._drop(delivery, f"the job's end is now {body['event']}")
            secrets = self._secrets(delivery, webhook, at)
        except (NotFound, Unsealable) as error:
            posted = Posted(verdict=DeliveryVerdict.RETRY, error=error.message)
        else:
            posted = await self.sender.post(
                Posting(
                    url=delivery.url,
                    message_id=delivery.message_id,
                    at=at,
                    body=body,
                    secrets=secrets,
                    owner=delivery.owner,
                )
            )
        return await self._record(delivery, webhook, attempt, posted, at)

    async def _key_problem(self, webhook: Webhook, at: datetime) -> str | None:
        """Why the API key of a webhook is no longer valid for it, or None."""
        if webhook.key_id is None:
            return None
        key = await self.keys.get(webhook.key_id)
        state = KeyState.REVOKED if key is None else key.state(at)
        if state is not KeyState.ACTIVE:
            ending = "was revoked" if state is KeyState.REVOKED else "has expired"
            return f"The API key {webhook.key_id} of this webhook {ending}: activate the webhook with another key"
        if key is not None and key.scopes.isdisjoint({Scope.JOBS_READ, Scope.ADMIN}):
            return f"The API key {webhook.key_id} of this webhook lacks the scope {Scope.JOBS_READ}"
        return None

    def _secrets(self, delivery: Delivery, webhook: Webhook | None, at: datetime) -> list[str]:
        """The signing secrets, newest first. A job's callback has its account's secret (C-54). Raises `Unsealable`."""
        if webhook is None:
            return callback_secrets(self.sealer, delivery.owner)
        place = webhook.sealed_for
        secrets = [self.sealer.unseal(webhook.secret, place)]
        if webhook.previous_secret and webhook.previous_until and webhook.previous_until > at:
            secrets.append(self.sealer.unseal(webhook.previous_secret, place))
        return secrets

    async def _drop(self, delivery: Delivery, reason: str) -> DeliveryReport:
        await self.deliveries.give_up(delivery.id, DeliveryState.DROPPED, at=self.clock())
        log.info("delivery_dropped", delivery_id=delivery.id, webhook_id=delivery.webhook_id, why=reason)
        return DeliveryReport(state=DeliveryState.DROPPED)

    async def _record(
        self, delivery: Delivery, webhook: Webhook | None, attempt: DeliveryAttempt, posted: Posted, at: datetime
    ) -> DeliveryReport:
        state = _state(posted.verdict, last=attempt.last)
        retry_after = min(posted.retry_after, _MAX_WAIT) if posted.retry_after is not None else None
        wait = max(attempt.next_delay or 0.0, retry_after or 0.0)
        disable_reason = (
            await self._disable_reason(delivery, webhook, posted) if state is DeliveryState.FAILED else None
        )
        due = await self.deliveries.record(
            delivery,
            MadeAttempt(attempt.number, at, str(posted.verdict), posted.status, posted.error, posted.duration),
            state=state,
            next_attempt_at=self.clock() + timedelta(seconds=wait) if state is DeliveryState.PENDING else None,
            disable_reason=disable_reason,
        )
        if disable_reason is not None:
            log.warning("webhook_disabled", webhook_id=delivery.webhook_id, owner=delivery.owner, reason=disable_reason)
        if due:
            self.dispatcher.dispatch(due)
        log.info(
            "delivery_attempted",
            delivery_id=delivery.id,
            number=attempt.number,
            state=str(state),
            status=posted.status,
            error=posted.error,
        )
        return DeliveryReport(state=state, retry_after=retry_after)

    async def _disable_reason(self, delivery: Delivery, webhook: Webhook | None, posted: Posted) -> str | None:
        """Why a failed delivery disables its webhook, or None if it does not.

        It does not for a test delivery, nor if the receiver accepted another delivery meanwhile, nor if the owner
        changed the webhook meanwhile.
        """
        if webhook is None or delivery.event == WebhookEvent.WEBHOOK_TEST:
            return None
        if posted.verdict is DeliveryVerdict.GONE:
            return f"The receiver answered {posted.status}: it wants no further deliveries"
        if webhook.updated_at > delivery.created_at:
            return None
        if await self.deliveries.delivered_since(webhook.id, delivery.created_at):
            return None
        return f"Every attempt since {stamp(delivery.created_at)} failed"


def _state(verdict: DeliveryVerdict, *, last: bool) -> DeliveryState:
    if verdict is DeliveryVerdict.DELIVERED:
        return DeliveryState.DELIVERED
    if verdict is DeliveryVerdict.GONE or last:
        return DeliveryState.FAILED
    return DeliveryState.PENDING
