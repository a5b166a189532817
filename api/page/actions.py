"""The actions on one job: cancel, pause, resume, retry. Each is a form; the audit trail has every one."""

from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from api.deps import JobId, Svc
from api.page.errors import PageRoute
from api.page.rendering import ROOT, see_other, url
from api.page.visitors import AnyStarter, Controller, Submitted
from orchestrator.domain.errors import InvalidInput

router = APIRouter(prefix=f"{ROOT}/jobs/{{job_id}}", include_in_schema=False, route_class=PageRoute)

MAX_NOTE: Final = 2000
_PATIENCE: Final = 3.0  # Seconds that a page waits for the end of a cancelled job.


@router.post("/cancel")
async def cancel(services: Svc, visitor: Controller, form: Submitted, job_id: JobId) -> Response:
    """Cancel the job."""
    await services.controller.cancel(visitor.principal, job_id, note_of(form.text("reason")), patience=_PATIENCE)
    return _job(job_id)


@router.post("/pause")
async def pause(services: Svc, visitor: Controller, form: Submitted, job_id: JobId) -> Response:
    """Pause the job."""
    await services.controller.pause(visitor.principal, job_id, note_of(form.text("note")))
    return _job(job_id)


@router.post("/resume")
async def resume(services: Svc, visitor: Controller, form: Submitted, job_id: JobId) -> Response:
    """Resume the job."""
    await services.controller.resume(visitor.principal, job_id, note_of(form.text("note")))
    return _job(job_id)


@router.post("/retry")
async def retry(services: Svc, visitor: AnyStarter, form: Submitted, job_id: JobId) -> Response:
    """Retry the job, and open the new one. Finished calls are reused."""
    started, _ = await services.retrier.retry(visitor.principal, job_id)
    return _job(started.job_id)


def note_of(text: str) -> str:
    """A note of a form. Raises `InvalidInput` if it is too long."""
    if len(text) > MAX_NOTE:
        raise InvalidInput("The note is too long", field="note", expected=f"at most {MAX_NOTE} characters")
    return text


def _job(job_id: str) -> Response:
    return see_other(url(f"/jobs/{job_id}"))
