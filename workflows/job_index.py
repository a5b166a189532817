"""Writes the row of an adopted job later, because the index did not answer when the job began (A4)."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain import names
    from orchestrator.domain.commands import JobIndexing, Recorded


@workflow.defn(name=names.WORKFLOW_INDEX_JOB)
class IndexJobWorkflow:
    """Retries one activity until the index answers. If the job ends before, the reconciler records its end."""

    @workflow.run
    async def run(self, indexing: JobIndexing) -> Recorded:
        """Fails after seven days without an index."""
        recorded: Recorded = await workflow.execute_activity(
            names.ACTIVITY_INDEX_JOB,
            indexing,
            result_type=Recorded,
            start_to_close_timeout=timedelta(seconds=30),
            schedule_to_close_timeout=timedelta(days=7),
            retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=10)),
        )
        return recorded
