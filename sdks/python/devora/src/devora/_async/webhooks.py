"""Webhooks: register them, list deliveries, verify received messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Unpack

from devora import webhooks
from devora._async.pages import AsyncPage
from devora._async.resource import AsyncResource, not_none
from devora._async.transport import refuse_empty
from devora._config import CallOptions, Words
from devora.models import Delivery, Webhook, WebhookEvent


class AsyncWebhooks(AsyncResource):
    """Webhooks: register them, list deliveries, verify received messages."""

    async def create(
        self, url: str, events: Words, *, secret: str | None = None, **options: Unpack[CallOptions]
    ) -> Webhook:
        """Register a webhook. Without a `secret` one is generated and returned only here."""
        body = {"url": url, "events": events, **not_none(secret=secret)}
        return await self._call(Webhook, "POST", "/webhooks", body=body, **options)

    async def list(
        self,
        *,
        limit: int | None = None,
        offset: int | None = None,
        after: str | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncPage[Webhook]:
        """The caller's webhooks, oldest first."""
        return await self._page(
            Webhook, "webhooks", "/webhooks", not_none(limit=limit, offset=offset, after=after), **options
        )

    async def get(self, webhook_id: str, **options: Unpack[CallOptions]) -> Webhook:
        """One webhook, without its secret."""
        return await self._call(Webhook, "GET", _path(webhook_id), **options)

    async def update(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        events: Words | None = None,
        active: bool | None = None,
        **options: Unpack[CallOptions],
    ) -> Webhook:
        """Change a webhook; arguments that are left out do not change. `active=True` enables a disabled one."""
        body = not_none(url=url, events=events, active=active)
        return await self._call(Webhook, "PATCH", _path(webhook_id), body=body, **options)

    async def delete(self, webhook_id: str, **options: Unpack[CallOptions]) -> None:
        """Remove a webhook; its pending deliveries are dropped."""
        await self._send("DELETE", _path(webhook_id), **options)

    async def rotate_secret(
        self,
        webhook_id: str,
        *,
        secret: str | None = None,
        overlap_seconds: int | None = None,
        **options: Unpack[CallOptions],
    ) -> Webhook:
        """Replace the secret. Until `previous_until` the old one also signs."""
        body = not_none(secret=secret, overlap_seconds=overlap_seconds)
        return await self._call(Webhook, "POST", f"{_path(webhook_id)}/rotate-secret", body=body, **options)

    async def test(self, webhook_id: str, **options: Unpack[CallOptions]) -> Delivery:
        """Send `webhook.test` once, now."""
        return await self._call(Delivery, "POST", f"{_path(webhook_id)}/test", **options)

    async def deliveries(
        self,
        webhook_id: str,
        *,
        state: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        after: str | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncPage[Delivery]:
        """List the deliveries with their attempts, newest first."""
        query = not_none(state=state, limit=limit, offset=offset, after=after)
        return await self._page(Delivery, "deliveries", f"{_path(webhook_id)}/deliveries", query, **options)

    async def redeliver(self, webhook_id: str, delivery_id: str, **options: Unpack[CallOptions]) -> Delivery:
        """Send a message again, as a new delivery."""
        path = f"{_path(webhook_id)}/deliveries/{refuse_empty('delivery_id', delivery_id)}/redeliver"
        return await self._call(Delivery, "POST", path, **options)

    def unwrap(
        self,
        body: str | bytes,
        headers: Mapping[str, str],
        secret: str,
        *,
        tolerance: float = webhooks.TOLERANCE,
        now: float | None = None,
    ) -> WebhookEvent:
        """The event of a delivery that was received, as `devora.webhooks.unwrap`. Raises `WebhookVerificationError`."""
        return webhooks.unwrap(body, headers, secret, tolerance=tolerance, now=now)

    def verify(
        self,
        body: str | bytes,
        headers: Mapping[str, str],
        secret: str,
        *,
        tolerance: float = webhooks.TOLERANCE,
        now: float | None = None,
    ) -> str:
        """Check a delivery without reading it. Raises `WebhookVerificationError`."""
        return webhooks.verify(body, headers, secret, tolerance=tolerance, now=now)


def _path(webhook_id: str) -> str:
    return f"/webhooks/{refuse_empty('webhook_id', webhook_id)}"
