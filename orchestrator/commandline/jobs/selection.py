"""The filters that select a command's jobs. The API applies most of them, the command the others."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from orchestrator.commandline.run.job_view import ListedJob
from orchestrator.domain.jobs import JobStatus


@dataclass(frozen=True, slots=True)
class Selection:
    """Filters. A job matches all of them, and one of several statuses or reasons. Empty fields do not filter."""

    statuses: tuple[JobStatus, ...] = ()
    reasons: tuple[str, ...] = ()
    needs_attention: bool = False
    workflow: str | None = None
    agent: str | None = None
    owner: str | None = None
    since: datetime | None = None
    before: datetime | None = None

    def __bool__(self) -> bool:
        """Whether there is any filter."""
        return self != Selection()

    def queries(self) -> Iterator[dict[str, str | int]]:
        """The query of each list to read; the API takes one status at a time."""
        query: dict[str, str | int] = {}
        if self.reasons:
            query["reason"] = ",".join(self.reasons)
        if self.needs_attention:
            query["needs_attention"] = "true"
        if self.workflow:
            query["workflow_id"] = self.workflow
        if self.agent:
            query["agent_id"] = self.agent
        if self.owner:
            query["owner"] = self.owner
        for status in self.statuses:
            yield {**query, "status": status}
        if not self.statuses:
            yield query

    def is_too_old(self, job: ListedJob) -> bool:
        """Whether a job, and so every later one of a list, is older than `since`."""
        return self.since is not None and job.created_at is not None and job.created_at < self.since

    def takes(self, job: ListedJob) -> bool:
        """Whether a job matches the filters that the API lacks."""
        return self.before is None or (job.created_at is not None and job.created_at < self.before)
