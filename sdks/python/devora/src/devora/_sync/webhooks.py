"""Webhooks: register them, list deliveries, verify received messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Unpack

from devora import webhooks
from devora._config import CallOptions, Words
from devora._sync.pages import Page
from devora._sync.resource import Resource, not_none
from devora._sync.transport import refuse_empty
from devora.models import Delivery, Webhook, WebhookEvent


class Webhooks(Resource):
    """Webhooks: register them, list deliveries, verify received messages."""

    def create(self, url: str, events: Words, *, secret: str | None = None, **options: Unpack[CallOptions]) -> Webhook:
        """Register a webhook. Without a `secret` one is generated and returned only here."""
        body = {"url": url, "events": events, **not_none(secret=secret)}
        return self._call(Webhook, "POST", "/webhooks", body=body, **options)

    def list(
        self,
        *,
        limit: int | None = None,
        offset: int | None = None,
        after: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Page[Webhook]:
        """The caller's webhooks, oldest first."""
        return self._page(
            Webhook, "webhooks", "/webhooks", not_none(limit=limit, offset=offset, after=after), **options
        )

    def get(self, webhook_id: str, **options: Unpack[CallOptions]) -> Webhook:
        """One webhook, without its secret."""
        return self._call(Webhook, "GET", _path(webhook_id), **options)

    def update(
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
        return self._call(Webhook, "PATCH", _path(webhook_id), body=body, **options)

    def delete(self, webhook_id: str, **options: Unpack[CallOptions]) -> None:
        """Remove a webhook; its pending deliveries are dropped."""
        self._send("DELETE", _path(webhook_id), **options)

    def rotate_secret(
        self,
        webhook_id: str,
        *,
        secret: str | None = None,
        overlap_seconds: int | None = None,
        **options: Unpack[CallOptions],
    ) -> Webhook:
        """Replace the secret. Until `previous_until` the old one also signs."""
        body = not_none(secret=secret, overlap_seconds=overlap_seconds)
        return self._call(Webhook, "POST", f"{_path(webhook_id)}/rotate-secret", body=body, **options)

    def test(self, webhook_id: str, **options: Unpack[CallOptions]) -> Delivery:
        """Send `webhook.test` once, now."""
        return self._call(Delivery, "POST", f"{_path(webhook_id)}/test", **options)

    def deliveries(
        self,
        webhook_id: str,
        *,
        state: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        after: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Page[Delivery]:
        """List the deliveries with their attempts, newest first."""
        query = not_none(state=state, limit=limit, offset=offset, after=after)
        return self._page(Delivery, "deliveries", f"{_path(webhook_id)}/deliveries", query, **options)

    def redeliver(self, webhook_id: str, delivery_id: str, **options: Unpack[CallOptions]) -> Delivery:
        """Send a message again, as a new delivery."""
        path = f"{_path(webhook_id)}/deliveries/{refuse_empty('delivery_id', delivery_id)}/redeliver"
        return self._call(Delivery, "POST", path, **options)

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
