"""The reconciler's workflow: one activity, started by a Temporal Schedule (A4)."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain import names
    from orchestrator.domain.commands import ReconcileReport, ReconcileRequest


@workflow.defn(name=names.WORKFLOW_RECONCILE)
class ReconcileWorkflow:
    """Compares the index with Temporal once. It is not a job."""

    @workflow.run
    async def run(self, request: ReconcileRequest) -> ReconcileReport:
        """Make one pass; the schedule starts the next one."""
        report: ReconcileReport = await workflow.execute_activity(
            names.ACTIVITY_RECONCILE,
            request,
            result_type=ReconcileReport,
            start_to_close_timeout=timedelta(minutes=5),
            schedule_to_close_timeout=timedelta(minutes=10),
            # A worker that dies during a pass must not hold up the next ones.
            heartbeat_timeout=timedelta(seconds=20),
            retry_policy=RetryPolicy(maximum_attempts=2),
        )
        return report
