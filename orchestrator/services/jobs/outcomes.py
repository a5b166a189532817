"""Closes the row of a job when its workflow reports the end. The final snapshot is written later, from the history."""

from dataclasses import dataclass
from datetime import datetime

import structlog

from orchestrator.domain.commands import Outcome
from orchestrator.domain.errors import Unavailable
from orchestrator.storage.attempts import AttemptRepository
from orchestrator.storage.jobs import JobRepository
from orchestrator.storage.resets import ResetRepository

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class OutcomeRecorder:
    """The port `OutcomeLog` over the job index."""

    jobs: JobRepository
    attempts: AttemptRepository
    resets: ResetRepository

    async def close(self, outcome: Outcome, *, at: datetime) -> bool:
        """Write the outcome. False if the index does not answer: the job ends anyway, and history repairs the index."""
        try:
            await self.attempts.written(outcome.job_id)  # The row of the job has the sum of their costs.
            closed = await self.jobs.close(
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
        except Unavailable as error:
            log.warning("outcome_not_recorded", job_id=outcome.job_id, error=error.message)
            return False
        return closed

    async def _doubt(self, outcome: Outcome) -> None:
        """Reopen the row of a job that has ended again after a reset. Ignore another workflow under the same id."""
        first_run = await self.jobs.first_run(outcome.job_id)
        if first_run is not None and first_run != outcome.first_run_id:
            log.warning("job_id_used_again", job_id=outcome.job_id, run_id=outcome.run_id)
        elif await self.resets.doubt(outcome.job_id, run_id=outcome.run_id):
            log.info("job_reopened", job_id=outcome.job_id, run_id=outcome.run_id)
