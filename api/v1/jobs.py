"""Routes that read jobs (D-045 to D-051, D-053)."""

from dataclasses import replace
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field

from api.attendance import attended
from api.deps import JobId, Svc, waiting
from api.security import JobsRead
from api.v1.bodies import Moment
from api.v1.envelope import ERRORS, NOT_FOUND, V1Route
from api.v1.models import JobDetail, JobList
from api.v1.output import OutputObject
from api.v1.pages import CursorQuery, Listing, cut
from api.v1.rendering import job_list
from api.v1.whole import whole_detail
from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import JobState, ReasonCode
from orchestrator.domain.labels import parsed_label
from orchestrator.domain.pages import Position
from orchestrator.services.jobs.follower import Until
from orchestrator.services.jobs.reader import JobFilter

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=V1Route, responses=ERRORS)

Wait = Annotated[float, Query(ge=0, le=60, description="Maximum seconds to wait for what `until` names.")]
WaitUntil = Annotated[
    Until,
    Query(
        description="What `wait` waits for. `change`: the next change of state. `attention`: the job is stuck, has no "
        "worker, is paused, waits for a person or has ended. `end`: the job has ended. If it already holds, the answer "
        "comes at once."
    ),
]
CatalogueId = Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9_.\-]*$")]


class JobQuery(CursorQuery):
    """Filters and page of a list of jobs (D-045, C-34)."""

    status: Literal["queued", "running", "completed", "failed", "cancelled"] | None = None
    state: list[JobState] = Field(
        default=[], max_length=20, description="Jobs in one of these exact states. Repeat the parameter for several."
    )
    since: Moment | None = Field(default=None, description="Jobs that were created at or after this time.")
    until: Moment | None = Field(default=None, description="Jobs that were created before this time.")
    owner: str | None = Field(default=None, max_length=200, description="Jobs of this owner, for an admin.")
    agent_id: CatalogueId | None = None
    workflow_id: CatalogueId | None = None
    reason: list[str] = Field(
        default=[],
        max_length=20,
        description="Open jobs with one of these reasons. Repeat the parameter, or separate codes by commas. "
        f"Codes: {', '.join(ReasonCode)}.",
    )
    label: list[str] = Field(
        default=[],
        max_length=10,
        description="Jobs with this label, as `NAME:VALUE`. Repeat it; a job must have all of them.",
    )
    needs_attention: bool = Field(
        default=False,
        description="Jobs that need a person: stuck, waiting for an approval, without a worker, or failed or timed out "
        "without a running or completed retry.",
    )

    def _reasons(self) -> list[ReasonCode] | None:
        words = [word.strip() for value in self.reason for word in value.split(",")]
        unknown = [word for word in words if word not in set(ReasonCode)]
        if unknown:
            raise InvalidInput(
                f"There is no reason {unknown[0][:40]!r}",
                field="reason",
                provided=unknown[0][:40],
                expected=", ".join(ReasonCode),
            )
        return [ReasonCode(word) for word in words] or None

    def _labels(self) -> dict[str, str]:
        labels: dict[str, str] = {}
        for text in self.label:
            label = parsed_label(text)
            if label is None or labels.setdefault(*label) != label[1]:
                message = f"invalid label {text[:80]!r}: expected NAME:VALUE, each name once"
                expected = "NAME:VALUE, each name once"
                raise InvalidInput(message, field="label", provided=text[:80], expected=expected)
        return labels

    def _states(self) -> list[JobState] | None:
        if self.status is None and not self.state:
            return None
        states = self.state or list(JobState)
        return [state for state in JobState if state in states and self.status in (None, state.status)]

    def filter(self) -> JobFilter:
        """Return the filter for the service, for one job more than the page has.

        Raises `InvalidInput` for both `agent_id` and `workflow_id`, for an unknown reason and for an invalid cursor.
        """
        if self.agent_id is not None and self.workflow_id is not None:
            raise InvalidInput("Filter by agent_id or by workflow_id, not by both", field="agent_id", expected="one")
        kind = None
        if self.agent_id is not None or self.workflow_id is not None:
            kind = JobKind.WORKFLOW if self.agent_id is None else JobKind.AGENT
        return JobFilter(
            owner=self.owner,
            states=self._states(),
            kind=kind,
            definition=self.workflow_id if self.agent_id is None else self.agent_id,
            reasons=self._reasons(),
            attention=self.needs_attention,
            since=self.since,
            until=self.until,
            labels=self._labels(),
            after=self.position(Listing.JOBS),
            limit=self.limit + 1,
            offset=self.offset,
        )


@router.get("")
async def list_jobs(principal: JobsRead, services: Svc, query: Annotated[JobQuery, Query()]) -> JobList:
    """The caller's jobs, newest first; for an admin the jobs of all owners."""
    page = await services.reader.list(principal, query.filter())
    rows, end = cut(page.rows, query.limit, Listing.JOBS, lambda row: Position(row.created_at, row.id))
    return job_list(replace(page, rows=rows), limit=query.limit, offset=query.offset, **end)


@router.get("/{job_id}", responses=NOT_FOUND)
async def get_job(
    *,
    request: Request,
    principal: JobsRead,
    services: Svc,
    job_id: JobId,
    wait: Wait = 0,
    until: WaitUntil = Until.CHANGE,
) -> JobDetail:
    """One job: state, reason, progress, steps and output. With `wait`, answers when `until` holds."""
    with waiting(request, principal, waits=wait > 0):
        job = await attended(request, services.follower.until(principal, job_id, wait, until)) if wait else None
        job = job or await services.reader.get(principal, job_id)
    return await whole_detail(services, job)


@router.get("/{job_id}/output", responses=NOT_FOUND)
async def get_output(principal: JobsRead, services: Svc, job_id: JobId) -> OutputObject:
    """The complete output of a job; 400 while there is none."""
    return await services.outputs.get(principal, job_id)
