"""Webhooks and deliveries."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from devora._model import Model


class Webhook(Model):
    """A webhook. `secret` is present only if the server has just generated it."""

    id: str
    url: str
    events: list[str]
    active: bool
    disabled_reason: str | None
    disabled_at: datetime | None
    created_at: datetime
    updated_at: datetime
    secret: str | None
    previous_until: datetime | None


class DeliveryAttempt(Model):
    """One attempt of a delivery; `status` is the receiver's HTTP status."""

    number: int
    at: datetime
    verdict: str
    status: int | None
    error: str | None
    duration: float


class Delivery(Model):
    """One delivery. `message_id` is what the receiver sees as `webhook-id`."""

    id: str
    webhook_id: str | None
    job_id: str | None
    event: str
    url: str
    message_id: str
    state: str
    attempts: list[DeliveryAttempt]
    created_at: datetime
    next_attempt_at: datetime | None
    completed_at: datetime | None


class WebhookEvent(Model):
    """A received, verified delivery. Store `id` to skip duplicates."""

    id: str
    event: str
    job_id: str | None
    timestamp: datetime
    data: dict[str, Any]
    signature: str | None
