"""Activities that write to the job index: the outcome of a job, and the reconciler's pass (A4)."""

from collections.abc import Callable
from datetime import datetime

from temporalio import activity

from orchestrator.domain import names
from orchestrator.domain.commands import Outcome, ReconcileReport, ReconcileRequest, Recorded
from orchestrator.domain.ports import OutcomeLog, Reconciler


class RecordActivities:
    """Bound to their ports once, by the composition root."""

    def __init__(self, outcomes: OutcomeLog, reconciler: Reconciler, *, clock: Callable[[], datetime]) -> None:
        self._outcomes = outcomes
        self._reconciler = reconciler
        self._clock = clock

    @activity.defn(name=names.ACTIVITY_RECORD_OUTCOME)
    async def record_outcome(self, outcome: Outcome) -> Recorded:
        """Close a job's row. Runs as a local activity at the end of every job."""
        return Recorded(ok=await self._outcomes.close(outcome, at=self._clock()))

    @activity.defn(name=names.ACTIVITY_RECONCILE)
    async def reconcile_index(self, request: ReconcileRequest) -> ReconcileReport:
        """One pass of the reconciler."""
        return await self._reconciler.reconcile(request)
