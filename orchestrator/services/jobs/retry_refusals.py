"""Remembers why retries of jobs would be refused, for pages that update themselves."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from orchestrator.domain.access import Principal
from orchestrator.services.jobs.retry import JobRetrier

# A check reads the answers of a job, and open pages of many visitors show the same jobs again and again.
_VALID: Final = timedelta(minutes=1)


class RetryRefusals:
    """Checks retries as `JobRetrier.refusals` does, each at most once a minute."""

    def __init__(self, retrier: JobRetrier, *, clock: Callable[[], datetime]) -> None:
        self._retrier = retrier
        self._clock = clock
        self._checked: dict[tuple[str, str], tuple[datetime, str]] = {}

    async def of(self, principal: Principal, job_ids: Sequence[str]) -> dict[str, str]:
        """Why each of these jobs could not be retried a minute ago or later. Jobs that could are left out."""
        now = self._clock()
        self._checked = {key: checked for key, checked in self._checked.items() if checked[0] > now - _VALID}
        unchecked = [job_id for job_id in job_ids if (principal.id, job_id) not in self._checked]
        refusals = await self._retrier.refusals(principal, unchecked)
        self._checked |= {(principal.id, job_id): (now, refusals.get(job_id, "")) for job_id in unchecked}
        texts = {job_id: self._checked[principal.id, job_id][1] for job_id in job_ids}
        return {job_id: text for job_id, text in texts.items() if text}
