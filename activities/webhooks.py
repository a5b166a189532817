"""The activity that makes one attempt of a webhook delivery (A10)."""

from temporalio import activity

from activities.errors import told_to_temporal
from orchestrator.domain import names
from orchestrator.domain.ports import Deliveries
from orchestrator.domain.webhooks import DeliveryAttempt, DeliveryReport


class WebhookActivities:
    """Bound to its port once, by the composition root."""

    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries = deliveries

    @activity.defn(name=names.ACTIVITY_DELIVER_WEBHOOK)
    async def deliver_webhook(self, attempt: DeliveryAttempt) -> DeliveryReport:
        """One POST, written down. What the receiver does is a result; only our own faults raise, and are retried."""
        with told_to_temporal():
            return await self._deliveries.attempt(attempt)
