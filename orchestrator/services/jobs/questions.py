"""Questions of jobs to people, and signals of workflows in code: reads them, and takes answers that fit."""

import asyncio
import builtins
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from uuid import uuid4

from pydantic import BaseModel, TypeAdapter

from orchestrator.domain.access import Principal, Scope
from orchestrator.domain.answers import check_answer
from orchestrator.domain.catalogue import Catalogue
from orchestrator.domain.errors import Conflict, Forbidden, InvalidInput, NotFound, WrongState
from orchestrator.domain.jobs import Job
from orchestrator.domain.questions import AnswerInput, JobQuestion, PersonAnswer, people_of, with_defaults
from orchestrator.domain.schemas import shown
from orchestrator.engine.people import PeopleGateway
from orchestrator.runtime.inputs import apply_model, in_thread
from orchestrator.services.jobs.reader import JobReader
from orchestrator.services.jobs.validation import check_whole

# A question can be for somebody who does not own its job.
_READER: Final = Principal(id="questions", scopes=frozenset({Scope.ADMIN}))
_TRIES: Final = 5
_MOST_ASKING: Final = 20  # Each of these jobs is read.
_PAUSE_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Answered:
    """A job after an answer, and the question."""

    job: Job
    question: JobQuestion


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """An open question to somebody who does not see its job."""

    job_id: str
    question: JobQuestion


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class JobQuestions:
    """Takes answers and signals. Nothing happens before they are checked."""

    catalogue: Catalogue
    reader: JobReader
    people: PeopleGateway

    async def list(self, principal: Principal, job_id: str) -> list[JobQuestion]:
        """The questions of a job, oldest first: all for those who see the job, else those for the caller.

        Raises `NotFound`, also if there are none for the caller; `Unavailable`.
        """
        return questions_to(principal, await self.reader.get_asked(principal, job_id))

    async def asked(self, principal: Principal) -> builtins.list[AskedQuestion]:
        """The open questions to the caller of jobs that they do not see, those of the newest jobs first.

        A question appears once its job was read, at the latest by the reconciler. Raises `Unavailable`.
        """
        if principal.admin:
            return []
        ids = await self.reader.jobs.asking(people_of(principal), other_than=principal.id, limit=_MOST_ASKING)
        lists = await asyncio.gather(*(self._asked(principal, job_id) for job_id in ids))
        return [question for questions in lists for question in questions]

    async def answer(
        self, principal: Principal, job_id: str, step: str, values: dict[str, Any], note: str = ""
    ) -> Answered:
        """Answer a question. The same answer again changes nothing.

        `step` is the id of the question, or its step if only one question of the step is open.

        Raises `NotFound`, `Forbidden` for a caller who may not answer, `InvalidInput` with the field, `Conflict` for
        another answer than the first and for a question that has ended, `Unavailable`.
        """
        job = await self.reader.get_asked(principal, job_id)
        question = _find(job, step)
        if not question.admits(principal, job.owner):
            people = ", ".join(question.by) or "those who see the job"
            raise Forbidden(f"Question {question.id} of job {job_id} is for {people}", job_id=job_id, by=question.by)
        values = await self._checked(job, question, values)
        if question.open and not job.state.terminal:
            sent = AnswerInput(step=question.id, values=values, actor=principal.id, note=note)
            with suppress(NotFound):  # The job has ended meanwhile; its history has the answer, or none.
                await self._send(job_id, sent)
            job = await self.reader.get_asked(principal, job_id)
            question = _find(job, question.id)
        _require_same(job, question, values)
        return Answered(job, question)

    async def signal(self, principal: Principal, job_id: str, name: str, value: Any, *, key: str | None) -> Job:
        """Send a signal that the class of the job's workflow declares. `key` makes a repetition harmless.

        Raises `NotFound`, also for a signal that is not declared, `InvalidInput` for a value that does not fit the
        argument of its handler, `Conflict` for a job that has ended, `Unavailable`.
        """
        job = await self.reader.get(principal, job_id)
        signals = self.catalogue.signals(job.definition) if job.code else {}
        if name not in signals:
            others = ", ".join(sorted(signals)) or "none"
            raise NotFound(
                f"Workflow {job.definition} declares no signal {name!r}; signals that it declares: {others}",
                job_id=job_id,
                signal=name,
            )
        values = await _arguments(signals[name], value)
        if job.state.terminal:
            raise _ended(job)
        with suppress(NotFound):  # The job has ended meanwhile.
            await self.people.signal(job_id, name, values, actor=principal.id, request_id=key or uuid4().hex)
            return await self.reader.get(principal, job_id)
        raise _ended(await self.reader.get(principal, job_id))

    async def _asked(self, principal: Principal, job_id: str) -> builtins.list[AskedQuestion]:
        try:
            job = await self.reader.get(_READER, job_id)
        except NotFound:  # deleted meanwhile
            return []
        mine = [question for question in job.open_questions if question.admits(principal, job.owner)]
        return [AskedQuestion(job.id, question) for question in mine]

    async def _checked(self, job: Job, question: JobQuestion, values: dict[str, Any]) -> dict[str, Any]:
        """The values with their defaults, as the form's model and schema have them."""
        model = self.catalogue.form_model(job.definition, question)
        await in_thread(partial(check_answer, question, model, values))
        if model is not None:
            values = await apply_model(model, values, as_json=True)
        return with_defaults(question.form, values)

    async def _send(self, job_id: str, answer: AnswerInput) -> PersonAnswer:
        """Send an answer. A run that has just continued its job does not know its questions for a moment."""
        for _ in range(_TRIES - 1):
            try:
                return await self.people.answer(job_id, answer)
            except Conflict:
                raise
            except WrongState:
                await asyncio.sleep(_PAUSE_SECONDS)
                job = await self.reader.get(_READER, job_id)
                if not any(each.id == answer.step for each in job.open_questions):
                    break
        return await self.people.answer(job_id, answer)


def _find(job: Job, step: str) -> JobQuestion:
    question = next((each for each in job.questions if each.id == step), None)
    of_step = [each for each in job.open_questions if each.step == step]
    if question is not None or len(of_step) == 1:
        return question or of_step[0]
    waiting = [each.id for each in job.open_questions]
    if job.state.terminal:
        raise _ended(job)
    if step in job.waiting_steps:  # it has no question
        raise InvalidInput(
            f"Step {step} of job {job.id} waits for approval: approve or reject it",
            field="step",
            provided=step[:100],
            expected=f"POST /v1/jobs/{job.id}/approve or /reject",
        )
    raise InvalidInput(
        f"Job {job.id} asks no question {step!r}; open questions: {', '.join(waiting) or 'none'}",
        field="step",
        provided=step[:100],
        expected=f"one of: {', '.join(waiting)}" if waiting else "a question that is open",
    )


def _require_same(job: Job, question: JobQuestion, values: dict[str, Any]) -> None:
    """Raises `Conflict` if the question has another answer than these values, or ended without one."""
    answer = question.answer
    if answer is None:
        message = f"Question {question.id} of job {job.id} needs no answer any more: it is {question.status}"
        raise Conflict(message, job_id=job.id, state=str(job.state))
    if answer.values != values:
        message = f"Question {question.id} of job {job.id} was answered by {answer.actor} before"
        raise Conflict(message, job_id=job.id, answered_by=answer.actor)


def questions_to(principal: Principal, job: Job) -> list[JobQuestion]:
    """The questions of a job, oldest first: all for those who see the job, else those for the caller."""
    return [each for each in job.questions if principal.can_see(job.owner) or each.admits(principal, job.owner)]


def _ended(job: Job) -> Conflict:
    return Conflict(f"Job {job.id} has ended ({job.state})", job_id=job.id, state=str(job.state))


async def _arguments(kind: Any, value: Any) -> list[Any]:
    """The arguments of a signal. Raises `InvalidInput`."""
    if kind is None:
        if value is not None:
            raise InvalidInput("This signal has no input", field="input", provided=value, expected="no input")
        return []
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if not isinstance(value, dict):
            raise InvalidInput(
                f"Invalid value for field input: got {shown(value)}, expected object", field="input", expected="object"
            )
        await check_whole(kind.model_json_schema(), kind, value)
        return [await apply_model(kind, value, as_json=True)]
    await check_whole(
        {"type": "object", "properties": {"input": TypeAdapter(kind).json_schema()}}, None, {"input": value}
    )
    return [value]
