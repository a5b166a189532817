"""One action on many jobs: a dry run that counts and lists them, then the action on exactly those, then the result."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.deps import Svc
from api.errors import EXPECTED, as_domain
from api.page.actions import note_of
from api.page.errors import PageRoute
from api.page.jobs import definitions
from api.page.lists import BulkAction, ListQuery
from api.page.rendering import ROOT, page
from api.page.visitors import AnyVisitor, Reader, Submitted, Visitor, any_starter, holding
from orchestrator.domain.access import Scope
from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.ids import addressable
from orchestrator.services.container import Services
from orchestrator.services.jobs.reader import JobPage

router = APIRouter(prefix=ROOT, include_in_schema=False, route_class=PageRoute)

MOST: Final = 500  # Jobs of one action: the answer must come within the time of a request.
_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class BulkResult:
    """What happened to one job: `fault` says why the action was refused, `new_id` is the job of a retry."""

    job_id: str
    fault: str = ""
    new_id: str = ""


class BulkQuery(ListQuery):
    """The filters of the list, and the action."""

    action: BulkAction

    def filters(self) -> dict[str, str]:
        """The filters without the action."""
        return {name: value for name, value in self.values().items() if name != "action"}

    @property
    def narrowing(self) -> list[tuple[str, str]]:
        """The filters that decide which jobs the action is for: without the order of the list."""
        return [(name, value) for name, value in self.filters().items() if name != "sort"]


@router.get("/bulk")
async def dry_run(request: Request, services: Svc, visitor: Reader, query: Annotated[BulkQuery, Query()]) -> Response:
    """Count and list the jobs that the action would change. Nothing is done."""
    listed = await _candidates(services, visitor, query)
    rows = listed.rows[:MOST]
    ids = [row.id for row in rows] if query.action is BulkAction.RETRY else []
    refusals = await services.retrier.refusals(visitor.principal, ids)
    # A failed retry stands for the job that it retried.
    jobs = [row for row in rows if row.id not in refusals and not (ids and listed.retried_by.get(row.id))]
    return page(
        request,
        visitor,
        "bulk.html",
        query=query,
        listed=replace(listed, rows=jobs),
        targets=Counter(row.definition for row in jobs).most_common(),
        refused=replace(listed, rows=[row for row in rows if row.id in refusals]),
        refusals=refusals,
        rest=max(0, listed.total - len(rows)),
    )


@router.post("/bulk")
async def carry_out(request: Request, services: Svc, visitor: AnyVisitor, form: Submitted) -> Response:
    """Carry out the action on the jobs that the dry run listed, several at a time, and show what happened to each."""
    action = next((action for action in BulkAction if action == form.text("action")), None)
    if action is None:
        raise InvalidInput("There is no such action", field="action", expected=", ".join(BulkAction))
    await (any_starter(visitor) if action is BulkAction.RETRY else holding(Scope.JOBS_CANCEL)(visitor))
    ids = list(dict.fromkeys(form.texts("job")))
    if not 0 < len(ids) <= MOST or not all(map(addressable, ids)):
        raise InvalidInput("Name the jobs", field="job", expected=f"1 to {MOST} ids of jobs")
    act, gate = _action(services, visitor, action, note_of(form.text("note"))), asyncio.Semaphore(_AT_ONCE)

    async def one(job_id: str) -> BulkResult:
        async with gate:
            try:
                return BulkResult(job_id, new_id=await act(job_id))
            except EXPECTED as fault:
                return BulkResult(job_id, fault=as_domain(fault).message)

    results = await asyncio.gather(*map(one, ids))
    faults = Counter(result.fault for result in results if result.fault)
    rows = await services.overview.rows(visitor.principal, ids)
    return page(
        request,
        visitor,
        "bulk_result.html",
        action=action,
        results=results,
        rows=rows,
        faults=sum(faults.values()),
    )


def _action(services: Services, visitor: Visitor, action: BulkAction, note: str) -> Callable[[str], Awaitable[str]]:
    """The action on one job. It returns the id of a new job, or an empty text."""
    principal, controller = visitor.principal, services.controller

    async def act(job_id: str) -> str:
        match action:
            case BulkAction.CANCEL:
                await controller.cancel(principal, job_id, note, patience=0)
            case BulkAction.PAUSE:
                await controller.pause(principal, job_id, note)
            case BulkAction.RESUME:
                await controller.resume(principal, job_id, note)
            case BulkAction.RETRY:
                return (await services.retrier.retry(principal, job_id))[0].job_id
        return ""

    return act


async def _candidates(services: Services, visitor: Visitor, query: BulkQuery) -> JobPage:
    job_filter = query.filter(definitions(services), datetime.now(UTC), limit=MOST)
    states = query.action.among(job_filter.states)
    return await services.reader.list(visitor.principal, replace(job_filter, states=states, after=None))
