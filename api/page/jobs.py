"""The list of jobs, with exact counts by state, search, filters and cursors."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.deps import Svc
from api.page.errors import PageRoute
from api.page.lists import WAITING, BulkAction, Definitions, ListQuery, matching
from api.page.rendering import ROOT, page, see_other, url
from api.page.visitors import Reader, Visitor
from api.v1.pages import Listing, cut
from orchestrator.domain.errors import NotFound
from orchestrator.domain.ids import JobKind, addressable
from orchestrator.domain.jobs import JobState, ReasonCode
from orchestrator.domain.pages import Position
from orchestrator.services.container import Services
from orchestrator.services.jobs.reader import JobPage

router = APIRouter(prefix=ROOT, include_in_schema=False, route_class=PageRoute)

PAGE_ROWS: Final = 50
_SIMILAR: Final = 8


@router.get("/jobs")
async def jobs_page(request: Request, services: Svc, visitor: Reader, query: Annotated[ListQuery, Query()]) -> Response:
    """One page of jobs. A search for the whole id of a job opens the job."""
    if (job_id := await _exact(services, visitor, query.q)) is not None:
        return see_other(url(f"/jobs/{job_id}"))
    return page(request, visitor, "jobs.html", **await list_values(services, visitor, query))


async def list_values(services: Services, visitor: Visitor, query: ListQuery) -> dict[str, Any]:
    """The values of the template of the list. Raises `InvalidInput`, `Forbidden`, `Unavailable`."""
    catalogue = definitions(services)
    job_filter = query.filter(catalogue, datetime.now(UTC), limit=PAGE_ROWS + 1)
    waiting_filter = replace(job_filter, reasons=list(WAITING), states=None, after=None, limit=1)
    listed, states, waiting = await asyncio.gather(
        services.overview.dearest(visitor.principal, job_filter, query.cost_position)
        if query.by_cost
        else services.reader.list(visitor.principal, job_filter),
        services.overview.states(visitor.principal, job_filter),
        services.reader.list(visitor.principal, waiting_filter),
    )
    rows, end = cut(listed.rows, PAGE_ROWS, Listing.JOBS, lambda row: Position(row.created_at, row.id))
    if query.by_cost:
        end["next"] = f"{rows[-1].cost!r}|{rows[-1].id}" if end["has_more"] else None
    shown_page = JobPage(rows, listed.total, listed.unattended, listed.retried_by)
    return {
        "query": query,
        "listed": shown_page,
        "usage": await services.overview.usage(shown_page),
        "next": end["next"],
        "states": states,
        "waiting": waiting.total,
        "bulk_actions": [
            action for action in BulkAction if any(states.get(state) for state in action.among(job_filter.states))
        ],
        "all_states": list(JobState),
        "reasons": list(ReasonCode),
        "definitions": sorted(catalogue.kinds),
        "similar": [] if rows else matching(query.q, catalogue.names)[:_SIMILAR],
    }


def definitions(services: Services) -> Definitions:
    """The definitions of the catalogue."""
    agents, workflows = services.catalogue.agents(), services.catalogue.workflows()
    kinds = {agent.id: JobKind.AGENT for agent in agents} | {workflow.id: JobKind.WORKFLOW for workflow in workflows}
    names = {agent.id: agent.name for agent in agents} | {workflow.id: workflow.name for workflow in workflows}
    return Definitions(kinds, names)


async def _exact(services: Services, visitor: Visitor, text: str) -> str | None:
    """The job with this id, if the visitor may see it; else None."""
    text = text.strip()
    if not addressable(text) or "_" not in text:
        return None
    try:
        return (await services.reader.get(visitor.principal, text)).id
    except NotFound:
        return None
