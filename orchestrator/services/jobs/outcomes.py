"""Closes the row of a job when its workflow reports the end. The final snapshot is written later, from the history."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from orchestrator.domain.commands import Outcome
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.ports import OutcomeLog
from orchestrator.domain.text import error_message
from orchestrator.services.background import Background
from orchestrator.storage.attempts import AttemptRepository
from orchestrator.storage.jobs import JobRepository
from orchestrator.storage.resets import ResetRepository

log = structlog.get_logger(__name__)

# Seconds that a job waits for the write of its end. To the SDK, a workflow that holds its thread for two is deadlocked.
_END_WAIT: Final = 1.0


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


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EndWriter:
    """Closes the rows of the jobs whose ends their workflows report, in a worker's event loop."""

    outcomes: OutcomeLog
    clock: Callable[[], datetime]
    loop: asyncio.AbstractEventLoop
    writes: Background

    def report(self, outcome: Outcome) -> None:
        """Write an outcome, and wait for that at most a second. Workflows call this in their own thread.

        A client that then learns of the end from Temporal finds the row closed, in lists and in the count of open jobs.
        """
        written = threading.Event()
        self.loop.call_soon_threadsafe(self._start, outcome, written)
        written.wait(_END_WAIT)

    def _start(self, outcome: Outcome, written: threading.Event) -> None:
        write = self.writes.start(self._write(outcome), f"end of {outcome.job_id}")
        write.add_done_callback(lambda _: written.set())

    async def _write(self, outcome: Outcome) -> None:
        try:
            await self.outcomes.close(outcome, at=self.clock())
        except Exception as error:  # noqa: BLE001 - the edge of the background: history repairs the index
            log.warning("outcome_not_recorded", job_id=outcome.job_id, error=error_message(error))
