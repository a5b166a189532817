"""Routes of webhooks (D-098 to D-103): register, list, change, rotate, test, delete; and of their deliveries."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.deps import JobId, Svc
from api.idempotency import Idempotent
from api.prefix import located
from api.security import Caller, JobsRead
from api.v1.envelope import ERRORS, NOT_FOUND, ONCE, V1Route
from api.v1.pages import CursorQuery, Listing, cut
from api.v1.webhook_bodies import (
    ChangeWebhookBody,
    DeliveryBody,
    DeliveryList,
    DeliveryQuery,
    RegisterBody,
    RotateSecretBody,
    WebhookBody,
    WebhookList,
    WebhookRegistered,
    WebhookRotated,
)
from orchestrator.domain.pages import Position

router = APIRouter(prefix="/v1", tags=["webhooks"], route_class=V1Route, responses=ERRORS)


@router.post("/webhooks", status_code=201, responses=ONCE)
async def register_webhook(
    body: RegisterBody, principal: JobsRead, services: Svc, response: Response, once: Idempotent
) -> WebhookRegistered:
    """Register a webhook. Without a `secret` one is generated and shown only in this answer."""
    registered = await services.webhooks.register(principal, url=body.url, events=body.events, secret=body.secret)
    response.headers["Location"] = located(f"/v1/webhooks/{registered.webhook.id}")
    return WebhookRegistered.of_registered(registered)


@router.get("/webhooks")
async def list_webhooks(principal: Caller, services: Svc, query: Annotated[CursorQuery, Query()]) -> WebhookList:
    """The caller's webhooks, oldest first; for an admin the webhooks of all owners."""
    after = query.position(Listing.WEBHOOKS)
    page = await services.webhooks.list(principal, limit=query.limit + 1, offset=query.offset, after=after)
    webhooks, end = cut(page.rows, query.limit, Listing.WEBHOOKS, lambda row: Position(row.created_at, row.id))
    rows = [WebhookBody.of(row) for row in webhooks]
    return WebhookList(webhooks=rows, total=page.total, limit=query.limit, offset=query.offset, **end)


@router.get("/webhooks/{webhook_id}", responses=NOT_FOUND)
async def get_webhook(webhook_id: str, principal: Caller, services: Svc) -> WebhookBody:
    """One webhook, without its secret."""
    return WebhookBody.of(await services.webhooks.get(principal, webhook_id))


@router.patch("/webhooks/{webhook_id}", responses=NOT_FOUND)
async def change_webhook(webhook_id: str, body: ChangeWebhookBody, principal: JobsRead, services: Svc) -> WebhookBody:
    """Change a webhook. A field that is left out does not change. `active: true` enables a disabled webhook."""
    row = await services.webhooks.change(principal, webhook_id, url=body.url, events=body.events, active=body.active)
    return WebhookBody.of(row)


@router.delete("/webhooks/{webhook_id}", status_code=204, responses=NOT_FOUND)
async def delete_webhook(webhook_id: str, principal: JobsRead, services: Svc) -> None:
    """Delete a webhook. Its pending deliveries are dropped."""
    await services.webhooks.delete(principal, webhook_id)


@router.post("/webhooks/{webhook_id}/rotate-secret", responses={**NOT_FOUND, **ONCE})
async def rotate_webhook_secret(
    *, webhook_id: str, principal: JobsRead, services: Svc, body: RotateSecretBody | None = None, once: Idempotent
) -> WebhookRotated:
    """Give a webhook a new secret. During the overlap deliveries are signed with both secrets."""
    rotation = body or RotateSecretBody()
    rotated = await services.webhooks.rotate(principal, webhook_id, overlap=rotation.overlap(), secret=rotation.secret)
    return WebhookRotated.of_registered(rotated)


@router.post("/webhooks/{webhook_id}/test", status_code=202, responses={**NOT_FOUND, **ONCE})
async def test_webhook(webhook_id: str, principal: JobsRead, services: Svc, once: Idempotent) -> DeliveryBody:
    """Send `webhook.test` once, now. Its delivery shows the result."""
    return DeliveryBody.of(await services.webhooks.test(principal, webhook_id), [])


@router.get("/webhooks/{webhook_id}/deliveries", responses=NOT_FOUND)
async def list_webhook_deliveries(
    webhook_id: str, principal: Caller, services: Svc, query: Annotated[DeliveryQuery, Query()]
) -> DeliveryList:
    """Deliveries of a webhook, pending ones included, newest first, with their attempts."""
    page = await services.webhooks.deliveries(
        principal,
        webhook_id,
        state=query.state,
        limit=query.limit + 1,
        offset=query.offset,
        after=query.position(Listing.DELIVERIES),
    )
    return DeliveryList.of(page, query)


@router.post(
    "/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver", status_code=202, responses={**NOT_FOUND, **ONCE}
)
async def redeliver(
    webhook_id: str, delivery_id: str, principal: JobsRead, services: Svc, once: Idempotent
) -> DeliveryBody:
    """Send a message again, as a new delivery with the same `message_id`."""
    return DeliveryBody.of(await services.webhooks.redeliver(principal, webhook_id, delivery_id), [])


@router.get("/jobs/{job_id}/deliveries", responses=NOT_FOUND)
async def list_job_deliveries(
    job_id: JobId, principal: JobsRead, services: Svc, query: Annotated[CursorQuery, Query()]
) -> DeliveryList:
    """Deliveries for a job: of its own `webhook_url` (`webhook_id` is null) and of its owner's webhooks."""
    await services.reader.get(principal, job_id)
    after = query.position(Listing.DELIVERIES)
    page = await services.webhooks.deliveries_of_job(job_id, limit=query.limit + 1, offset=query.offset, after=after)
    return DeliveryList.of(page, query)
