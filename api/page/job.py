"""One job: its time line, output and files, input, events and deliveries."""

from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.deps import JobId, Svc
from api.page.errors import PageRoute
from api.page.gantt import chart
from api.page.graph import graph, states_of
from api.page.questions import answerable_of, form_of
from api.page.rendering import ROOT, page, see_other, url
from api.page.visitors import Reader, Visitor
from api.page.webhooks import closed_receivers
from orchestrator.domain.access import START_SCOPES, Scope
from orchestrator.domain.errors import NotFound, WrongState
from orchestrator.domain.jobs import Job
from orchestrator.domain.questions import QuestionKind
from orchestrator.services.container import Services
from orchestrator.services.jobs.follower import skipped

router = APIRouter(prefix=ROOT, include_in_schema=False, route_class=PageRoute)

EVENTS: Final = 200
_DELIVERIES: Final = 100
_PREVIEW: Final = 200_000  # Characters of a file that its page shows.
Scale = Annotated[Literal["", "log"], Query()]


@router.get("/jobs/{job_id}")
async def job_page(request: Request, services: Svc, visitor: Reader, job_id: JobId, scale: Scale = "") -> Response:
    """The job with its time line, which follows the job while it is open.

    Those who may only answer a question of the job see the question.
    """
    try:
        job = await services.reader.get(visitor.principal, job_id)
    except NotFound:
        await services.questions.list(visitor.principal, job_id)
        return see_other(url(f"/jobs/{job_id}/questions"))
    return page(request, visitor, "job.html", tab="steps", **await steps_values(services, visitor, job, scale))


@router.get("/jobs/{job_id}/output")
async def output_page(request: Request, services: Svc, visitor: Reader, job_id: JobId) -> Response:
    """The output of the job and its files. Of a job that ended without a result: the answers of its finished calls."""
    job = await services.reader.get(visitor.principal, job_id)
    output = await _output(services, visitor, job)
    values = await _head_values(services, visitor, job)
    return page(request, visitor, "job_output.html", tab="output", output=output, **values)


@router.get("/jobs/{job_id}/plan")
async def plan_page(request: Request, services: Svc, visitor: Reader, job_id: JobId) -> Response:
    """The graph of the plan that the job was started with, each step with its state."""
    job = await services.reader.get(visitor.principal, job_id)
    plan = await services.reader.plan(visitor.principal, job)
    drawing = graph(plan.steps, states_of(job)) if plan is not None and plan.steps else None
    values = await _head_values(services, visitor, job)
    return page(request, visitor, "job_plan.html", tab="plan", graph=drawing, **values)


@router.get("/jobs/{job_id}/input")
async def input_page(request: Request, services: Svc, visitor: Reader, job_id: JobId) -> Response:
    """The input and the configuration of the job."""
    job = await services.reader.get(visitor.principal, job_id)
    return page(request, visitor, "job_input.html", tab="input", **await _head_values(services, visitor, job))


@router.get("/jobs/{job_id}/events")
async def events_page(
    *, request: Request, services: Svc, visitor: Reader, job_id: JobId, after: str = "", name: str = ""
) -> Response:
    """The events of the job, one page of them; with `name`, those whose name contains it."""
    job = await services.reader.get(visitor.principal, job_id)
    past = await services.reader.events(job_id)
    matching = [event for event in past[skipped(past, after) :] if name.lower() in event.name]
    return page(
        request,
        visitor,
        "job_events.html",
        tab="events",
        events=matching[:EVENTS],
        total=len(past),
        name=name,
        next=matching[EVENTS - 1].id if len(matching) > EVENTS else None,
        **await _head_values(services, visitor, job),
    )


@router.get("/jobs/{job_id}/deliveries")
async def deliveries_page(request: Request, services: Svc, visitor: Reader, job_id: JobId) -> Response:
    """The webhook deliveries for the job, newest first."""
    job = await services.reader.get(visitor.principal, job_id)
    deliveries = await services.webhooks.deliveries_of_job(job_id, limit=_DELIVERIES)
    values = await _head_values(services, visitor, job)
    values["closed"] = await closed_receivers(services, visitor, deliveries)
    return page(request, visitor, "job_deliveries.html", tab="deliveries", deliveries=deliveries, **values)


@router.get("/jobs/{job_id}/files/{number}")
async def file_page(request: Request, services: Svc, visitor: Reader, job_id: JobId, number: int) -> Response:
    """One file of the job as text."""
    job = await services.reader.get(visitor.principal, job_id)
    item = await _file(services, visitor, job, number)
    content = item["content"] or ""
    return page(
        request,
        visitor,
        "job_file.html",
        tab="output",
        item=item,
        number=number,
        content=content[:_PREVIEW],
        is_whole=len(content) <= _PREVIEW,
        **await _head_values(services, visitor, job),
    )


@router.get("/jobs/{job_id}/files/{number}/download")
async def download(services: Svc, visitor: Reader, job_id: JobId, number: int) -> Response:
    """One file of the job. It is never opened as a page of this site, whatever it contains."""
    job = await services.reader.get(visitor.principal, job_id)
    item = await _file(services, visitor, job, number)
    name = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in PurePosixPath(item["path"]).name)
    headers = {
        "Content-Disposition": f'attachment; filename="{name or "file"}"',
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    return Response((item["content"] or "").encode(), media_type="application/octet-stream", headers=headers)


async def steps_values(services: Services, visitor: Visitor, job: Job, scale: str = "") -> dict[str, Any]:
    """The values of the page with the time line."""
    values = await _head_values(services, visitor, job)
    return {**values, "chart": chart(job, datetime.now(UTC), logarithmic=scale == "log"), "scale": scale}


async def _head_values(services: Services, visitor: Visitor, job: Job) -> dict[str, Any]:
    """The values that every page of a job needs."""
    retryable, can_run = job.state.retryable, visitor.can(START_SCOPES[job.kind])
    retried_by = await services.retrier.retried_by(job.id) if retryable else []
    refusal = await services.retrier.refusal(visitor.principal, job) if retryable and can_run else ""
    can_control = visitor.can(Scope.JOBS_CANCEL)
    forms = [question for question in job.open_questions if question.kind is QuestionKind.FORM]
    return {
        "job": job,
        "retried_by": retried_by or [],
        "forms": [(question, form_of(question)) for question in forms],
        "run_page": services.run_page(job.id),
        "visitor_can_control": can_control,
        "answerable": answerable_of(visitor, job.owner, job.open_questions),
        "visitor_can_retry": retryable and can_run and not refusal,
        "retry_refusal": refusal,
        "visitor_can_start": visitor.can_start(job.kind) and services.catalogue.has(job.kind, job.definition),
    }


async def _output(services: Services, visitor: Visitor, job: Job) -> dict[str, Any] | None:
    """The whole output of a job. None while there is none."""
    try:
        return await services.outputs.get(visitor.principal, job.id)
    except (WrongState, NotFound):
        return None


async def _file(services: Services, visitor: Visitor, job: Job, number: int) -> dict[str, Any]:
    output = await _output(services, visitor, job)
    files: list[dict[str, Any]] = (output or {}).get("deliverables", [])
    if not 0 <= number < len(files):
        raise NotFound(f"Job {job.id} has no file {number}", job_id=job.id)
    return files[number]
