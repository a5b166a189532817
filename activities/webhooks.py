"""The activity that makes one attempt of a webhook delivery (A10)."""

from temporalio import activity

from activities.errors import temporal_errors
from orchestrator.domain import names
from orchestrator.domain.ports import Deliveries
from orchestrator.domain.webhooks import DeliveryAttempt, DeliveryReport


class WebhookActivities:
    """The composition binds it to its port."""

    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries = deliveries

    @activity.defn(name=names.ACTIVITY_DELIVER_WEBHOOK)
    async def deliver_webhook(self, attempt: DeliveryAttempt) -> DeliveryReport:
        """Make and record one POST. A fault of the receiver is a result; only our own faults raise and are retried."""
        with temporal_errors():
            return await self._deliveries.attempt(attempt)
