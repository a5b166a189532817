"""Activities that write to the job index: adopted jobs, the outcome of a job, and the reconciler's pass (A4)."""

from collections.abc import Callable
from datetime import datetime

from temporalio import activity

from activities.errors import temporal_errors
from activities.heartbeats import HEARTBEAT_SECONDS, heartbeats
from orchestrator.domain import names
from orchestrator.domain.commands import (
    Adopted,
    Adoption,
    CallReuse,
    JobIndexing,
    Outcome,
    ReconcileReport,
    ReconcileRequest,
    Recorded,
)
from orchestrator.domain.ports import JobAdoption, OutcomeLog, Reconciler


class RecordActivities:
    """The composition binds them to their ports."""

    def __init__(
        self, outcomes: OutcomeLog, adoption: JobAdoption, reconciler: Reconciler, *, clock: Callable[[], datetime]
    ) -> None:
        self._outcomes = outcomes
        self._adoption = adoption
        self._reconciler = reconciler
        self._clock = clock

    @activity.defn(name=names.ACTIVITY_RECORD_OUTCOME)
    async def record_outcome(self, outcome: Outcome) -> Recorded:
        """Close a job's row. Runs as a local activity at the end of every job."""
        return Recorded(ok=await self._outcomes.close(outcome, at=self._clock()))

    @activity.defn(name=names.ACTIVITY_ADOPT_JOB)
    async def adopt_job(self, adoption: Adoption) -> Adopted:
        """Turn a workflow that was not started through the API into a job. A local activity, the first of its workflow.

        For a workflow that cannot be a job it fails with the code of the error, non-retryable.
        """
        with temporal_errors():
            return await self._adoption.adopt(adoption)

    @activity.defn(name=names.ACTIVITY_INDEX_JOB)
    async def index_job(self, indexing: JobIndexing) -> Recorded:
        """Write the row of an adopted job. Fails and is retried while the index does not answer."""
        with temporal_errors():
            await self._adoption.index(indexing)
        return Recorded()

    @activity.defn(name=names.ACTIVITY_REUSE_CALL)
    async def reuse_call(self, reuse: CallReuse) -> Recorded:
        """Do nothing: its marker, under the id of the call, records that the call reused an earlier job's answer."""
        return Recorded()

    @activity.defn(name=names.ACTIVITY_RECONCILE)
    async def reconcile_index(self, request: ReconcileRequest) -> ReconcileReport:
        """Run one pass of the reconciler."""
        async with heartbeats(activity.heartbeat, HEARTBEAT_SECONDS):
            return await self._reconciler.reconcile(request)
