"""Closes a job's row when its workflow says that it ended. The final snapshot follows from the closed history."""

from datetime import datetime

import structlog

from orchestrator.domain.commands import Outcome
from orchestrator.domain.errors import Unavailable
from orchestrator.storage.jobs import JobRepository
from orchestrator.storage.resets import ResetRepository

log = structlog.get_logger(__name__)


class OutcomeRecorder:
    """The port `OutcomeLog` over the job index."""

    def __init__(self, jobs: JobRepository, resets: ResetRepository) -> None:
        self._jobs = jobs
        self._resets = resets

    async def close(self, outcome: Outcome, *, at: datetime) -> bool:
        """Write the outcome; False when the index does not answer, which holds no job: history repairs it."""
        try:
            closed = await self._jobs.close(
                outcome.job_id,
                state=outcome.state,
                snapshot=None,
                events=None,
                result=None,
                error=outcome.error,
                run_id=outcome.run_id,
                at=at,
            )
            if not closed:
                await self._doubt(outcome)
        except Unavailable as fault:
            log.warning("outcome_not_recorded", job_id=outcome.job_id, error=fault.message)
            return False
        return closed

    async def _doubt(self, outcome: Outcome) -> None:
        """A job that had ended has ended again after a reset. Another workflow under its id changes nothing."""
        first_run = await self._jobs.first_run(outcome.job_id)
        if first_run is not None and first_run != outcome.first_run_id:
            log.warning("job_id_used_again", job_id=outcome.job_id, run_id=outcome.run_id)
        elif await self._resets.doubt(outcome.job_id, run_id=outcome.run_id):
            log.info("job_reopened", job_id=outcome.job_id, run_id=outcome.run_id)
