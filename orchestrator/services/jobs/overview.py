"""What an operator sees beside a list of jobs: exact counts by state, and tokens and cost of each job."""

from dataclasses import dataclass

from orchestrator.domain.access import Principal
from orchestrator.domain.errors import Forbidden
from orchestrator.domain.jobs import JobState
from orchestrator.domain.usage import Usage
from orchestrator.services.jobs.reader import JobFilter, JobPage, JobReader
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
        if filter.owner is not None and not principal.can_see(filter.owner):
            raise Forbidden("Only an admin counts the jobs of others", owner=filter.owner)
        return await self.overviews.states(await self.reader.row_filter(principal, filter))

    async def usage(self, page: JobPage) -> dict[str, Usage]:
        """The usage of the jobs of a page, which its caller may see."""
        return await self.overviews.usage([row.id for row in page.rows])
