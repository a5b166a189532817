"""The reconciler's workflow: one activity, started by a Temporal Schedule (A4)."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain import names
    from orchestrator.domain.commands import ReconcileReport, ReconcileRequest


@workflow.defn(name=names.WORKFLOW_RECONCILE)
class ReconcileWorkflow:
    """Compares the index with Temporal once. No job, so it is not recorded in the index."""

    @workflow.run
    async def run(self, request: ReconcileRequest) -> ReconcileReport:
        """One pass; the next one is the schedule's business."""
        report: ReconcileReport = await workflow.execute_activity(
            names.ACTIVITY_RECONCILE,
            request,
            result_type=ReconcileReport,
            start_to_close_timeout=timedelta(minutes=5),
            schedule_to_close_timeout=timedelta(minutes=10),
            retry_policy=RetryPolicy(maximum_attempts=2),
        )
        return report
