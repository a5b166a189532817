"""Bodies of the webhook routes (D-098, C-51)."""

from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import Field, WithJsonSchema

from api.storable import FIRST_FAULT
from api.v1.bodies import Body, WebUrl, WholeNumber
from api.v1.pages import CursorPage, CursorQuery, Listing, cut
from api.v1.wire import Timestamp, Wire, absent
from api.webhooks import MAX_EVENTS, Event, Secret
from orchestrator.domain.pages import Position
from orchestrator.domain.webhooks import (
    SUBSCRIBABLE,
    Delivery,
    DeliveryState,
    DeliveryVerdict,
    MadeAttempt,
    Webhook,
    WebhookEvent,
)
from orchestrator.services.webhooks.registry import DeliveryPage, Registered

_THIRTY_DAYS: Final = 2_592_000
_DAY: Final = 86_400

NamedEvent = Annotated[str, WithJsonSchema({"type": "string", "enum": list(WebhookEvent)})]
KnownEvent = Annotated[Event, WithJsonSchema({"type": "string", "enum": list(SUBSCRIBABLE)})]
Events = Annotated[list[KnownEvent], FIRST_FAULT, Field(min_length=1, max_length=MAX_EVENTS)]


class RegisterBody(Body):
    """The webhook to register."""

    url: WebUrl
    events: Events
    secret: Secret | None = Field(default=None, description="Signs the deliveries. Generated if left out.")


class ChangeWebhookBody(Body):
    """The fields to change. A field that is left out does not change."""

    url: WebUrl | None = None
    events: Events | None = None
    active: bool | None = None


class RotateSecretBody(Body):
    """The new secret, generated if left out, and how long the old secret also signs."""

    secret: Secret | None = None
    overlap_seconds: WholeNumber = Field(
        default=_DAY, ge=0, le=_THIRTY_DAYS, description="0 removes the old secret now."
    )

    def overlap(self) -> timedelta:
        """Return the overlap as a duration."""
        return timedelta(seconds=self.overlap_seconds)


class DeliveryQuery(CursorQuery):
    """Filter and page of a list of deliveries."""

    state: DeliveryState | None = None


class WebhookBody(Wire):
    """A webhook, without its secret. `disabled_reason` says why it is inactive."""

    id: str
    url: str
    events: list[NamedEvent]
    active: bool
    disabled_reason: str | None
    disabled_at: Timestamp | None
    created_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, webhook: Webhook) -> "WebhookBody":
        """Return the body of one webhook."""
        return cls(**_fields(webhook))


class WebhookRegistered(WebhookBody):
    """A webhook. `secret` is shown only in this answer, and only if it was generated."""

    secret: str | None = Field(default=None, exclude_if=absent)

    @classmethod
    def of_registered(cls, registered: Registered) -> "WebhookRegistered":
        """Return the body of a new webhook."""
        return cls(**_fields(registered.webhook), secret=registered.secret)


class WebhookRotated(WebhookRegistered):
    """A webhook with its new secret. Until `previous_until` the old secret also signs."""

    previous_until: Timestamp | None

    @classmethod
    def of_registered(cls, registered: Registered) -> "WebhookRotated":
        """Return the body of a webhook after a rotation."""
        webhook = registered.webhook
        return cls(**_fields(webhook), secret=registered.secret, previous_until=webhook.previous_until)


class DeliveryAttemptBody(Wire):
    """One delivery attempt. `status` is the receiver's HTTP status, `duration` is seconds."""

    number: int
    at: Timestamp
    verdict: DeliveryVerdict
    status: int | None
    error: str | None
    duration: float


class DeliveryBody(Wire):
    """One delivery with its attempts. `message_id` is sent to the receiver as `webhook-id`."""

    id: str
    webhook_id: str | None
    job_id: str | None
    event: NamedEvent
    url: str
    message_id: str
    state: DeliveryState
    attempts: list[DeliveryAttemptBody]
    created_at: Timestamp
    next_attempt_at: Timestamp | None
    completed_at: Timestamp | None

    @classmethod
    def of(cls, delivery: Delivery, attempts: list[MadeAttempt]) -> "DeliveryBody":
        """Return the body of one delivery."""
        attempt_bodies = [
            DeliveryAttemptBody(
                number=attempt.number,
                at=attempt.at,
                verdict=attempt.verdict,
                status=attempt.status,
                error=attempt.error,
                duration=round(attempt.duration, 3),
            )
            for attempt in attempts
        ]
        plain = {name: getattr(delivery, name) for name in cls.model_fields if name != "attempts"}
        return cls(**plain, attempts=attempt_bodies)


class WebhookList(CursorPage):
    """One page of webhooks, oldest first. `total` counts all."""

    webhooks: list[WebhookBody]
    total: int
    limit: int
    offset: int


class DeliveryList(CursorPage):
    """One page of deliveries, newest first. `total` counts all matching deliveries."""

    deliveries: list[DeliveryBody]
    total: int
    limit: int
    offset: int

    @classmethod
    def of(cls, page: DeliveryPage, query: CursorQuery) -> "DeliveryList":
        """Return the body of a page, from one delivery more than it has."""
        deliveries, end = cut(
            page.rows, query.limit, Listing.DELIVERIES, lambda row: Position(row[0].created_at, row[0].id)
        )
        rows = [DeliveryBody.of(delivery, attempts) for delivery, attempts in deliveries]
        return cls(deliveries=rows, total=page.total, limit=query.limit, offset=query.offset, **end)


def _fields(webhook: Webhook) -> dict[str, Any]:
    plain = {name: getattr(webhook, name) for name in WebhookBody.model_fields if name != "active"}
    return plain | {"active": webhook.disabled_at is None}
