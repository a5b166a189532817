"""The questions of one run: a person answers by the Update `answer`, and a wrong answer is refused before it counts."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, NoReturn

from pydantic import BaseModel
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.exceptions import ApplicationError
from temporalio.worker import (
    ContinueAsNewInput,
    ExecuteWorkflowInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from workflows.notes import note

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain import names
    from orchestrator.domain.answers import VALUES, check_answer
    from orchestrator.domain.commands import Decision
    from orchestrator.domain.errors import InvalidInput
    from orchestrator.domain.jobs import JobError
    from orchestrator.domain.notes import QuestionAsked, QuestionEnded
    from orchestrator.domain.questions import (
        INVALID_QUESTION,
        MAX_VALUES_BYTES,
        AnswerInput,
        CarriedQuestions,
        Form,
        PersonAnswer,
        PersonQuestion,
        QuestionKind,
        check_people,
        with_defaults,
    )


# The model of the form of a question, by the id of its workflow.
FormModel = Callable[[str, PersonQuestion], type[BaseModel] | None]
_FORM_MODEL: Final = "orchestrator-form-model"


def questions_of_run() -> "Questions":
    """The questions of this run, which handle the Update `answer` from the first call of this function.

    They continue those of the run before.
    """
    # Kept at the run's event loop, because the sandbox has its own copy of this module.
    run = vars(asyncio.get_running_loop())
    if names.HEADER_QUESTIONS not in run:
        run[names.HEADER_QUESTIONS] = Questions(_carried(workflow.info().headers))
    questions: Questions = run[names.HEADER_QUESTIONS]
    return questions


class Questions:
    """The questions of a run and their answers; see `questions_of_run`."""

    def __init__(self, carried: CarriedQuestions) -> None:
        """Continue the questions of the run before: an answer counts before its step asks again."""
        self._open = {question.id: question for question in carried.open}
        self._answers = dict(carried.answers)
        self._early = dict(carried.early)
        self._unread = set(carried.answers)
        self._expired = list(carried.expired)
        self._waiting: set[str] = set()
        self._models: dict[str, type[BaseModel]] = {}
        workflow.set_update_handler(names.UPDATE_ANSWER, self._accept, validator=self._check)

    def carried(self) -> CarriedQuestions:
        """The questions for the run that continues this one."""
        return CarriedQuestions(
            open=list(self._open.values()), answers=self._answers, early=self._early, expired=self._expired
        )

    async def ask(self, question: PersonQuestion, model: type[BaseModel] | None = None) -> PersonAnswer:
        """Ask a person and wait for the answer. The answer of an earlier run is returned at once.

        `model` checks the values beside the schema. Raises `ApplicationError`: `answer_timeout` or `approval_timeout`
        after the deadline, unless the question says otherwise; `asked_twice` for an id that was used before;
        `invalid_question` if `by` names nobody.
        """
        id = question.id
        if id in self._unread:
            self._unread.discard(id)
            return self._answers[id]
        if id in self._waiting or id in self._answers:
            raise ApplicationError(
                f"question {id!r} was asked before: give each question a step or a key of its own",
                type="asked_twice",
                non_retryable=True,
            )
        if id in self._expired:  # in an earlier run, too
            raise _timeout(question)
        question = self._opened(question)
        if model is not None:
            self._models[id] = model
        self._waiting.add(id)
        try:
            return await self._answer(question)
        except asyncio.CancelledError:
            note(QuestionEnded(id=id, how="withdrawn"))
            raise
        finally:
            self._open.pop(id, None)
            self._waiting.discard(id)

    async def ask_form(self, question: PersonQuestion, model: type[Form]) -> Form | None:
        """Ask with a form and return its values as the model; None if the question was skipped."""
        answer = await self.ask(question, model)
        return None if answer.how == "skipped" else model.model_validate_json(json.dumps(answer.values))

    def decide(self, decision: Decision, *, approved: bool) -> None:
        """Answer by the signal `approve` or `reject`, which can arrive before the question. The first one counts."""
        answer = AnswerInput(
            step=decision.step, values={"approved": approved}, actor=decision.actor, note=decision.note
        )
        question = self._open.get(decision.step)
        if question is None:
            self._early.setdefault(decision.step, answer)
        elif question.kind is not QuestionKind.FORM and question.id not in self._answers:
            self._answers[question.id] = _answer_of(question, answer)

    def _opened(self, question: PersonQuestion) -> PersonQuestion:
        """The question with its times. One of an earlier run keeps its deadline, and is not noted again."""
        if question.id in self._open:
            return self._open[question.id]
        _check_people(question)
        now = workflow.now()
        deadline = None if question.timeout is None else now + timedelta(seconds=question.timeout)
        question = question.model_copy(update={"asked_at": now, "deadline": deadline})
        self._open[question.id] = question
        note(QuestionAsked(question=question))
        early = self._early.pop(question.id, None)
        if early is not None and question.kind is not QuestionKind.FORM:
            self._answers[question.id] = _answer_of(question, early)
        return question

    async def _answer(self, question: PersonQuestion) -> PersonAnswer:
        remaining = None if question.deadline is None else question.deadline - workflow.now()
        try:
            await workflow.wait_condition(
                lambda: question.id in self._answers,
                timeout=None if remaining is None else max(timedelta(seconds=1), remaining),
                timeout_summary=None if remaining is None else names.QUESTION_TIMER_PREFIX + question.id,
            )
        except TimeoutError:
            # An answer of the same workflow task was accepted: it counts.
            if question.id not in self._answers:
                self._expire(question)
        return self._answers[question.id]

    def _expire(self, question: PersonQuestion) -> None:
        del self._open[question.id]
        note(QuestionEnded(id=question.id, how="expired"))
        if question.on_timeout == "fail":
            self._expired.append(question.id)
            raise _timeout(question)
        default = question.on_timeout == "default"
        self._answers[question.id] = PersonAnswer(
            values=question.values_at_deadline() if default else {},
            at=workflow.now(),
            how="default" if default else "skipped",
        )

    def _check(self, input: AnswerInput) -> None:
        """Refuse an answer that cannot count (the validator of the Update). Nothing of it gets into the history."""
        earlier = self._answers.get(input.step)
        if earlier is not None:
            if not same_values(earlier, input):
                _refuse("already_answered", f"question {input.step!r} is answered by {earlier.actor or 'its deadline'}")
            return
        question = self._open.get(input.step)
        if question is None:
            waiting = ", ".join(self._open) or "none"
            _refuse("not_asked", f"question {input.step!r} is not open; open questions: {waiting}")
        if len(json.dumps(input.values).encode()) > MAX_VALUES_BYTES:
            _refuse("invalid_answer", f"the values have more than {MAX_VALUES_BYTES} bytes", field=VALUES)
        model = self._models.get(input.step) or self._declared(question)
        try:
            check_answer(question, model, input.values)
        except InvalidInput as fault:
            _refuse("invalid_answer", fault.message, **fault.details)

    def _declared(self, question: PersonQuestion) -> type[BaseModel] | None:
        """The model of a form that the catalogue of this worker declares. A replay checks no answer again."""
        form_model: FormModel | None = vars(asyncio.get_running_loop()).get(_FORM_MODEL)
        return None if form_model is None else form_model(workflow.info().workflow_type, question)

    def _accept(self, input: AnswerInput) -> PersonAnswer:
        """Answer a question (the handler of the Update)."""
        if input.step not in self._answers:
            self._answers[input.step] = _answer_of(self._open[input.step], input)
        return self._answers[input.step]


class QuestionCarrier(Interceptor):
    """Passes open questions, and answers, to the run that continues a job."""

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor] | None:
        """The class that wraps each execution."""
        return _Inbound


class QuestionForms(Interceptor):
    """Gives the models of declared forms to questions, whose plans travel without them."""

    def __init__(self, form_model: FormModel) -> None:
        """`form_model` knows the model of a question of a workflow."""
        self._form_model = form_model

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor] | None:
        """The class that wraps each execution."""
        form_model = self._form_model

        class Forms(WorkflowInboundInterceptor):
            async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
                vars(asyncio.get_running_loop())[_FORM_MODEL] = form_model
                return await super().execute_workflow(input)

        return Forms


class _Inbound(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_Outbound(outbound))

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        if names.HEADER_QUESTIONS in workflow.info().headers:
            questions_of_run()  # people can answer before the code asks again
        return await super().execute_workflow(input)


class _Outbound(WorkflowOutboundInterceptor):
    def continue_as_new(self, input: ContinueAsNewInput) -> NoReturn:
        run = vars(asyncio.get_running_loop())
        carried = questions_of_run().carried() if names.HEADER_QUESTIONS in run else CarriedQuestions()
        if carried != CarriedQuestions():
            header = workflow.payload_converter().to_payload(carried)
            input = replace(input, headers={**input.headers, names.HEADER_QUESTIONS: header})
        super().continue_as_new(input)


def _carried(headers: Mapping[str, Payload]) -> CarriedQuestions:
    payload = headers.get(names.HEADER_QUESTIONS)
    if payload is None:
        return CarriedQuestions()
    return workflow.payload_converter().from_payload(payload, CarriedQuestions)


def same_values(answer: PersonAnswer, input: AnswerInput) -> bool:
    """Whether an answer repeats an earlier one."""
    return answer.how == "answered" and answer.values == {**answer.values, **input.values}


def _timeout(question: PersonQuestion) -> ApplicationError:
    approval = question.kind is QuestionKind.APPROVAL
    return ApplicationError(
        f"nobody {'approved' if approval else 'answered'} in time: {question.message}",
        type="approval_timeout" if approval else "answer_timeout",
        non_retryable=True,
    )


def _check_people(question: PersonQuestion) -> None:
    try:
        check_people(question.by)
    except ValueError as fault:
        if workflow.patched(names.PATCH_PEOPLE_CHECKED):  # Jobs of earlier releases wait: an administrator may answer.
            message = f"question {question.id!r}: by: {fault}"
            error = JobError(type=INVALID_QUESTION, message=message, step=question.step)
            raise ApplicationError(message, error, type=error.type, non_retryable=True) from None


def _answer_of(question: PersonQuestion, input: AnswerInput) -> PersonAnswer:
    values = with_defaults(question.form, input.values)
    return PersonAnswer(values=values, actor=input.actor, note=input.note, at=workflow.now())


def _refuse(type: str, message: str, **details: Any) -> NoReturn:
    raise ApplicationError(message, *([details] if details else []), type=type, non_retryable=True)
