"""What an operator sees beside a list of jobs: exact counts by state, and tokens and cost of each job."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.domain.access import Principal
from orchestrator.domain.errors import Forbidden
from orchestrator.domain.jobs import JobState
from orchestrator.domain.pages import CostPosition
from orchestrator.domain.usage import Usage
from orchestrator.services.jobs.reader import JobFilter, JobPage, JobReader
from orchestrator.storage.jobs import JobRow
from orchestrator.storage.overviews import OverviewRepository


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class JobOverview:
    """Counts jobs and sums up their usage. Every method raises `Unavailable`."""

    overviews: OverviewRepository
    reader: JobReader

    async def states(self, principal: Principal, filter: JobFilter) -> dict[JobState, int]:
        """The exact number of matching jobs in each state, whatever states the filter names.

        Raises `Forbidden` for another owner's jobs.
        """
        self._check(principal, filter)
        return await self.overviews.states(await self.reader.row_filter(principal, filter))

    async def dearest(self, principal: Principal, filter: JobFilter, after: CostPosition | None = None) -> JobPage:
        """The most expensive matching jobs that have ended and whose cost is known. `total` counts this page.

        Raises `Forbidden` for another owner's jobs.
        """
        self._check(principal, filter)
        row_filter = await self.reader.row_filter(principal, filter)
        rows = await self.overviews.dearest(row_filter, limit=filter.limit, after=after)
        retryable_ids = [row.id for row in rows if row.state.retryable]
        retries = await self.reader.jobs.retried_by(*retryable_ids) if retryable_ids else {}
        return JobPage(rows, len(rows), retried_by=retries)

    async def rows(self, principal: Principal, job_ids: Sequence[str]) -> dict[str, JobRow]:
        """The rows of those of the jobs that the caller may see."""
        return {row.id: row for row in await self.overviews.rows(job_ids) if principal.can_see(row.owner)}

    def _check(self, principal: Principal, filter: JobFilter) -> None:
        if filter.owner is not None and not principal.can_see(filter.owner):
            raise Forbidden("Only an admin sees the jobs of others", owner=filter.owner)

    async def usage(self, page: JobPage) -> dict[str, Usage]:
        """The usage of the jobs of a page, which its caller may see."""
        return await self.overviews.usage([row.id for row in page.rows])
