"""Questions of a job to people: those who may answer need not see the job. Shows the questions and takes answers."""

from collections.abc import Iterable
from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.deps import JobId, Svc
from api.page.actions import note_of
from api.page.errors import PageRoute
from api.page.forms import FormField, fields_of_form, value_of_form
from api.page.rendering import ROOT, page, see_other, url
from api.page.visitors import Controller, Form, Reader, Submitted, Visitor
from orchestrator.domain.access import Scope
from orchestrator.domain.errors import InvalidInput, NotFound
from orchestrator.domain.questions import JobQuestion, QuestionKind
from orchestrator.services.container import Services
from orchestrator.services.jobs.questions import questions_to

router = APIRouter(prefix=f"{ROOT}/jobs/{{job_id}}", include_in_schema=False, route_class=PageRoute)


@dataclass(frozen=True, slots=True)
class RefusedAnswer:
    """An answer to a question that was refused, and why."""

    question: str
    form: Form
    fault: InvalidInput


@router.get("/questions")
async def questions_page(request: Request, services: Svc, visitor: Reader, job_id: JobId) -> Response:
    """The questions of the job that the visitor may answer; all of them for those who see the job."""
    return await _page(request, services, visitor, job_id)


@router.post("/answer")
async def answer(request: Request, services: Svc, visitor: Controller, form: Submitted, job_id: JobId) -> Response:
    """Answer a question. Values that do not fit are shown again, each fault at its field."""
    questions = await services.questions.list(visitor.principal, job_id)
    question = next((each for each in questions if each.open and each.id == form.text("question")), None)
    if question is None:
        raise NotFound("This question is not open any more", job_id=job_id)
    try:
        values = value_of_form(question.form, form)
        await services.questions.answer(visitor.principal, job_id, question.id, values, note_of(form.text("note")))
    except InvalidInput as fault:
        return await _page(request, services, visitor, job_id, RefusedAnswer(question.id, form, fault))
    return see_other(url(f"/jobs/{job_id}"))


@router.post("/decide")
async def decide(services: Svc, visitor: Controller, form: Submitted, job_id: JobId) -> Response:
    """Approve or reject a waiting step, with a note."""
    step, note, word = form.text("step"), note_of(form.text("note")), form.text("decision")
    if word not in ("approve", "reject"):
        raise InvalidInput("Choose approve or reject", field="decision", expected="approve or reject")
    if any(each.open and each.id == step for each in await services.questions.list(visitor.principal, job_id)):
        values = {"approved": word == "approve"}
        await services.questions.answer(visitor.principal, job_id, step, values, note)
    elif word == "approve":
        await services.controller.approve(visitor.principal, job_id, step or None, note)
    else:
        await services.controller.reject(visitor.principal, job_id, step or None, note)
    return see_other(url(f"/jobs/{job_id}"))


def form_of(question: JobQuestion, refused: RefusedAnswer | None = None) -> list[FormField]:
    """The fields of the form of a question, empty or as they were refused. None for a yes or no."""
    if question.kind is not QuestionKind.FORM:
        return []
    if refused is not None and refused.question == question.id:
        return fields_of_form(question.form, {}, refused.fault, refused.form)
    return fields_of_form(question.form, {})


def answerable_of(visitor: Visitor, owner: str, questions: Iterable[JobQuestion]) -> set[str]:
    """The ids of those questions of a job that the visitor may answer."""
    if not visitor.can(Scope.JOBS_CANCEL):
        return set()
    return {question.id for question in questions if question.admits(visitor.principal, owner)}


async def _page(
    request: Request, services: Services, visitor: Visitor, job_id: str, refused: RefusedAnswer | None = None
) -> Response:
    job = await services.reader.get_asked(visitor.principal, job_id)
    questions = questions_to(visitor.principal, job)
    return page(
        request,
        visitor,
        "job_questions.html",
        status=400 if refused else 200,
        job_id=job_id,
        questions=[(question, form_of(question, refused)) for question in questions],
        answerable=answerable_of(visitor, job.owner, questions),
        fault=refused.fault.message if refused else "",
    )
