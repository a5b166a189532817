"""The questions of one run: a person answers by the Update `answer`, and a wrong answer is refused before it counts."""

import asyncio
import json
from datetime import timedelta
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel
from temporalio import workflow
from temporalio.exceptions import ApplicationError

from workflows.notes import note

with workflow.unsafe.imports_passed_through():
    from orchestrator.domain import names
    from orchestrator.domain.commands import Decision
    from orchestrator.domain.errors import InvalidInput
    from orchestrator.domain.notes import QuestionAsked, QuestionEnded
    from orchestrator.domain.questions import (
        MAX_VALUES_BYTES,
        AnswerInput,
        CarriedQuestions,
        PersonAnswer,
        PersonQuestion,
        QuestionKind,
        with_defaults,
    )
    from orchestrator.runtime.inputs import validated
    from orchestrator.runtime.json_schema import check_input

Form = TypeVar("Form", bound=BaseModel)


class Questions:
    """Make one at the start of a run: it handles the Update `answer`. Give it what the earlier run carried."""

    def __init__(self, carried: CarriedQuestions | None = None) -> None:
        self._open: dict[str, PersonQuestion] = {}
        self._models: dict[str, type[BaseModel]] = {}
        self._waiting: set[str] = set()
        self._unread: set[str] = set()
        self._answers: dict[str, PersonAnswer] = {}
        self._early: dict[str, AnswerInput] = {}
        if carried is not None:
            self.restore(carried)
        workflow.set_update_handler(names.UPDATE_ANSWER, self._accept, validator=self._check)

    def restore(self, carried: CarriedQuestions) -> None:
        """Restore the questions of the earlier run: their answers count before their steps ask again."""
        self._open = {question.id: question for question in carried.open} | self._open
        self._answers = carried.answers | self._answers
        self._unread |= carried.answers.keys()
        self._early = carried.early | self._early

    def carried(self) -> CarriedQuestions | None:
        """The questions for the run that continues this one; None if there is nothing to carry."""
        if not (self._open or self._answers or self._early):
            return None
        return CarriedQuestions(open=list(self._open.values()), answers=self._answers, early=self._early)

    def is_open(self, id: str) -> bool:
        """Whether a question waits for an answer."""
        return id in self._open

    async def ask(self, question: PersonQuestion, model: type[BaseModel] | None = None) -> PersonAnswer:
        """Ask a person and wait for the answer. The answer of an earlier run is returned at once.

        `model` checks the values beside the schema. Raises `ApplicationError`: `answer_timeout` or `approval_timeout`
        after the deadline, unless the question says otherwise; `asked_twice` for an id that was used before.
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
            approval = question.kind is QuestionKind.APPROVAL
            raise ApplicationError(
                f"nobody {'approved' if approval else 'answered'} in time: {question.message}",
                type="approval_timeout" if approval else "answer_timeout",
                non_retryable=True,
            )
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
            _refuse("invalid_answer", f"the values have more than {MAX_VALUES_BYTES} bytes", field="values")
        model = self._models.get(input.step)
        try:
            check_input(question.form, input.values, formats=model is None)
            if model is not None:
                validated(model, input.values)
        except InvalidInput as fault:
            _refuse("invalid_answer", fault.message, **fault.details)

    def _accept(self, input: AnswerInput) -> PersonAnswer:
        """Answer a question (the handler of the Update)."""
        if input.step not in self._answers:
            self._answers[input.step] = _answer_of(self._open[input.step], input)
        return self._answers[input.step]


def same_values(answer: PersonAnswer, input: AnswerInput) -> bool:
    """Whether an answer repeats an earlier one."""
    return answer.how == "answered" and answer.values == {**answer.values, **input.values}


def _answer_of(question: PersonQuestion, input: AnswerInput) -> PersonAnswer:
    values = with_defaults(question.form, input.values)
    return PersonAnswer(values=values, actor=input.actor, note=input.note, at=workflow.now())


def _refuse(type: str, message: str, **details: Any) -> NoReturn:
    raise ApplicationError(message, *([details] if details else []), type=type, non_retryable=True)
