"""Questions of jobs to people: read and answer them. Signals of workflows in code."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import AfterValidator, Field

from api.deps import JobId, Svc
from api.idempotency import IdempotencyKey, Idempotent
from api.security import JobsCancel, JobsRead
from api.storable import JsonObject, storable
from api.v1.bodies import Body, Text
from api.v1.envelope import ERRORS, NOT_FOUND, ONCE, ErrorEnvelope, V1Route
from api.v1.models import Controlled
from api.v1.question_bodies import QuestionBody, question_body
from api.v1.rendering import controlled
from api.v1.wire import Links, Wire
from orchestrator.domain.jobs import JobState, JobStatus

_CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {
        "model": ErrorEnvelope,
        "description": "`conflict`: another answer came first, the question or the job has ended, or the first request "
        "with this `Idempotency-Key` is still running",
    }
}
router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["jobs"], route_class=V1Route, responses={**ERRORS, **NOT_FOUND})
SignalName = Annotated[str, Path(min_length=1, max_length=200, description="A signal that the workflow declares.")]


class AnswerBody(Body):
    """An answer to a question of a job."""

    step: Annotated[str, Field(min_length=1, max_length=300), AfterValidator(storable)] = Field(
        description="The `id` of the question, or its `step` if only one question of the step is open."
    )
    values: JsonObject = Field(description="Match the `input_schema` of the question.")
    note: Text = Field(default="", description="For the agents that go on, and for readers of the job's events.")


class SignalBody(Body):
    """The input of a signal."""

    input: Any = Field(default=None, description="Matches the argument of the signal's handler; none without one.")


class QuestionList(Wire):
    """The questions of a job, oldest first."""

    questions: list[QuestionBody]


class AnswerAccepted(Wire):
    """An answer that the workflow has."""

    job_id: str
    status: JobStatus
    state: JobState
    question: QuestionBody
    links: Links


@router.get("/questions")
async def list_questions(principal: JobsRead, services: Svc, job_id: JobId) -> QuestionList:
    """The questions of a job to people. A caller who does not own the job sees those that they may answer."""
    questions = await services.questions.list(principal, job_id)
    return QuestionList(questions=[question_body(question) for question in questions])


@router.post("/answers", responses={**ONCE, **_CONFLICT})
async def answer_question(
    *, principal: JobsCancel, services: Svc, job_id: JobId, body: AnswerBody, once: Idempotent
) -> AnswerAccepted:
    """Answer a question. Values that do not fit its form are refused before anything happens. The same answer again
    changes nothing; another one is a conflict."""
    answered = await services.questions.answer(principal, job_id, body.step, body.values, body.note)
    job = answered.job
    return AnswerAccepted(
        job_id=job.id,
        status=job.state.status,
        state=job.state,
        question=question_body(answered.question),
        links=Links.of(job.id),
    )


@router.post("/signals/{name}", status_code=202, responses={**ONCE, **_CONFLICT})
async def signal_job(
    *,
    principal: JobsCancel,
    services: Svc,
    job_id: JobId,
    name: SignalName,
    body: SignalBody | None = None,
    key: IdempotencyKey = None,
    once: Idempotent,
) -> Controlled:
    """Send a signal that the job's workflow declares in code. Pause, resume, approve and reject have routes of their
    own."""
    job = await services.questions.signal(principal, job_id, name, body.input if body else None, key=key)
    return controlled(job, done=False)
