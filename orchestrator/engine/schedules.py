"""The schedule of the reconciler in Temporal."""

from datetime import timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)

from orchestrator.domain import names
from orchestrator.domain.commands import ReconcileRequest
from orchestrator.engine.connect import rpc_errors


async def ensure_reconciler(client: Client, task_queue: str, *, every: timedelta) -> None:
    """Create or update the schedule of the reconciler. Raises `Unavailable`.

    Each task queue has its own schedule, because two installations may share a namespace.
    """
    schedule_id = f"{names.SCHEDULE_RECONCILE}-{task_queue}"
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(
            names.WORKFLOW_RECONCILE,
            ReconcileRequest(),
            id=schedule_id,
            task_queue=task_queue,
            static_summary="Compare the job index with Temporal",
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(minutes=1)),
    )

    def replacement(_: ScheduleUpdateInput) -> ScheduleUpdate:
        return ScheduleUpdate(schedule=schedule)

    with rpc_errors("schedule"):
        try:
            await client.create_schedule(schedule_id, schedule)
        except ScheduleAlreadyRunningError:
            await client.get_schedule_handle(schedule_id).update(replacement)
