"""The delivery of one webhook event: attempt, timer, attempt (A10). Its history is the log of the delivery."""

from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain import names
    from orchestrator.domain.backoff import jittered
    from orchestrator.domain.webhooks import (
        DeliveryAttempt,
        DeliveryInput,
        DeliveryReport,
        DeliveryResult,
        DeliveryState,
    )

_JITTER: Final = 0.1
# For faults of the index or the worker. A fault of the receiver is a result, not an error.
_RETRY: Final = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_interval=timedelta(minutes=1)
)


@workflow.defn(name=names.WORKFLOW_WEBHOOK_DELIVERY)
class WebhookDeliveryWorkflow:
    """Attempts a delivery until it succeeds, is refused or dropped, or its schedule ends. It is not a job."""

    @workflow.run
    async def run(self, delivery: DeliveryInput) -> DeliveryResult:
        """Make at most one attempt for each entry of the schedule."""
        delays = [jittered(seconds, _JITTER, workflow.random().uniform) for seconds in delivery.schedule]
        report = DeliveryReport(state=DeliveryState.PENDING)
        number = 0
        for number, delay in enumerate(delays, start=1):
            wait = max(delay, report.retry_after or 0.0)
            if wait > 0:
                _show(delivery, f"attempt {number} of {len(delays)} is due {wait:.0f} seconds after the one before")
                await workflow.sleep(wait, summary=f"before attempt {number} of {len(delays)}")
            next_delay = delays[number] if number < len(delays) else None
            report = await _attempt(delivery, number, next_delay)
            if report.state is not DeliveryState.PENDING:
                break
        _show(delivery, f"**{report.state}** after {number} of {len(delays)} attempts")
        return DeliveryResult(state=report.state, attempts=number)


async def _attempt(delivery: DeliveryInput, number: int, next_delay: float | None) -> DeliveryReport:
    last = next_delay is None
    try:
        report: DeliveryReport = await workflow.execute_activity(
            names.ACTIVITY_DELIVER_WEBHOOK,
            DeliveryAttempt(delivery_id=delivery.delivery_id, number=number, last=last, next_delay=next_delay),
            activity_id=f"attempt_{number}",
            summary=f"attempt {number} of {len(delivery.schedule)}",
            task_queue=names.webhook_queue(workflow.info().task_queue),
            result_type=DeliveryReport,
            start_to_close_timeout=timedelta(seconds=45),
            schedule_to_close_timeout=timedelta(hours=12),
            retry_policy=_RETRY,
        )
    except ActivityError as error:
        if last or is_cancelled_exception(error):
            raise
        workflow.logger.warning("delivery_attempt_not_made", extra={"number": number})
        return DeliveryReport(state=DeliveryState.PENDING)
    return report


def _show(delivery: DeliveryInput, where: str) -> None:
    """Update the page of the delivery in the Temporal UI."""
    workflow.set_current_details(f"{delivery.delivery_id}: {where}")
