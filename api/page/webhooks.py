"""Webhooks: receivers with their deliveries; test, redeliver, switch on and off."""

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.deps import Svc
from api.page.errors import PageRoute
from api.page.rendering import ROOT, page, see_other, url
from api.page.visitors import AnyVisitor, Reader, Submitted, Visitor
from orchestrator.domain.errors import InvalidInput, NotFound
from orchestrator.domain.webhooks import DeliveryState
from orchestrator.services.container import Services
from orchestrator.services.webhooks.registry import DeliveryPage

router = APIRouter(prefix=f"{ROOT}/webhooks", include_in_schema=False, route_class=PageRoute)

_ROWS: Final = 200
_DELIVERIES: Final = 100


@router.get("")
async def webhooks_page(request: Request, services: Svc, visitor: AnyVisitor) -> Response:
    """The visitor's receivers, or all of them for an admin."""
    listed = await services.webhooks.list(visitor.principal, limit=_ROWS)
    return page(request, visitor, "webhooks.html", listed=listed)


@router.get("/{webhook_id}")
async def webhook_page(
    *, request: Request, services: Svc, visitor: AnyVisitor, webhook_id: str, state: str = ""
) -> Response:
    """One receiver and its newest deliveries."""
    member_state = next((member for member in DeliveryState if member == state), None)
    if state and member_state is None:
        raise InvalidInput(f"There is no state {state[:20]!r}", field="state", expected=", ".join(DeliveryState))
    webhook = await services.webhooks.get(visitor.principal, webhook_id)
    deliveries = await services.webhooks.deliveries(
        visitor.principal, webhook_id, state=member_state, limit=_DELIVERIES
    )
    return page(
        request,
        visitor,
        "webhook.html",
        webhook=webhook,
        deliveries=deliveries,
        closed=await closed_receivers(services, visitor, deliveries),
        state=state,
        all_states=list(DeliveryState),
    )


async def closed_receivers(services: Services, visitor: Visitor, deliveries: DeliveryPage) -> dict[str, str]:
    """Why nothing can be redelivered now, by receiver."""
    closed = {}
    for webhook_id in {delivery.webhook_id for delivery, _ in deliveries.rows if delivery.webhook_id}:
        try:
            if (await services.webhooks.get(visitor.principal, webhook_id)).disabled_at is not None:
                closed[webhook_id] = "switched off: switch the receiver on to redeliver"
        except NotFound:
            closed[webhook_id] = "the receiver was deleted"
    return closed


@router.post("/{webhook_id}/redeliver")
async def redeliver(services: Svc, visitor: Reader, form: Submitted, webhook_id: str) -> Response:
    """Deliver the same message again."""
    delivery = await services.webhooks.redeliver(visitor.principal, webhook_id, form.text("delivery"))
    if form.text("back") == "job" and delivery.job_id:
        return see_other(url(f"/jobs/{delivery.job_id}/deliveries"))
    return see_other(url(f"/webhooks/{webhook_id}"))


@router.post("/{webhook_id}/test")
async def test(services: Svc, visitor: Reader, form: Submitted, webhook_id: str) -> Response:
    """Send one test event."""
    await services.webhooks.test(visitor.principal, webhook_id)
    return see_other(url(f"/webhooks/{webhook_id}"))


@router.post("/{webhook_id}/switch")
async def switch(services: Svc, visitor: Reader, form: Submitted, webhook_id: str) -> Response:
    """Switch a receiver on or off."""
    await services.webhooks.change(visitor.principal, webhook_id, active=form.text("to") == "on")
    return see_other(url(f"/webhooks/{webhook_id}"))
