"""The fold of a job's questions to people."""

from datetime import datetime
from typing import Any

from orchestrator.domain.commands import Decision, JobInput
from orchestrator.domain.facts import RUN_ENDS, AnswerGiven, Fact, Noted
from orchestrator.domain.jobs import Approved
from orchestrator.domain.notes import Note, QuestionAsked, QuestionEnded
from orchestrator.domain.questions import (
    AnswerInput,
    JobQuestion,
    PersonAnswer,
    QuestionKind,
    QuestionStatus,
    with_defaults,
)


class QuestionFold:
    """The questions of a job, over all its runs. `changed` are those that the last fact began, answered or ended."""

    def __init__(self) -> None:
        self._questions: dict[str, JobQuestion] = {}
        self._early: dict[str, AnswerInput] = {}
        self.changed: list[JobQuestion] = []

    def apply(self, fact: Fact) -> None:
        """Apply the next fact. A decision by signal comes through `decided`."""
        self.changed = []
        match fact:
            case Noted():
                for note in fact.notes:
                    self._noted(note, fact.time)
            case AnswerGiven():
                question = self._questions.get(fact.answer.step)
                if question is not None and question.open:
                    self._answer(question, fact.answer, fact.time)
            case _ if isinstance(fact, RUN_ENDS):
                for question in self.open():
                    self._end(question, QuestionStatus.WITHDRAWN, fact.time)

    def course(self) -> dict[str, Any]:
        """The questions of the job, oldest first."""
        return {"questions": list(self._questions.values())} if self._questions else {}

    def open(self) -> list[JobQuestion]:
        """The questions that wait for an answer, oldest first."""
        return [question for question in self._questions.values() if question.open]

    def awaited(self, job: JobInput | None) -> list[str]:
        """The steps of the plan that wait for a restricted approval."""
        return [each.step for each in self.open() if _approves_step(each, job)]

    def approvals(self, job: JobInput | None) -> list[Approved]:
        """The approvals of steps of the plan that restrict who may approve."""
        return [
            Approved(step=each.step, actor=each.answer.actor or "", note=each.answer.note)
            for each in self._questions.values()
            if each.answer is not None and each.answer.approved and _approves_step(each, job)
        ]

    def decided(self, decision: Decision, *, approved: bool, at: datetime) -> bool:
        """Apply a decision by signal to an approval or a tool call. It can come before its question.

        Returns whether it has taken effect.
        """
        answer = AnswerInput(
            step=decision.step, values={"approved": approved}, actor=decision.actor, note=decision.note
        )
        question = self._questions.get(decision.step)
        if question is None:
            self._early.setdefault(decision.step, answer)
            return False
        if not question.open or question.kind is QuestionKind.FORM:
            return False
        self._answer(question, answer, at)
        return True

    def _noted(self, note: Note, at: datetime) -> None:
        if isinstance(note, QuestionAsked):
            question = JobQuestion(**dict(note.question))
            self._questions.pop(question.id, None)
            self._put(question)
            early = self._early.pop(question.id, None)
            if early is not None and question.kind is not QuestionKind.FORM:
                self._answer(question, early, at)
        elif isinstance(note, QuestionEnded):
            open_question = self._questions.get(note.id)
            if open_question is not None and open_question.open:
                self._end(open_question, QuestionStatus(note.how), at)

    def _answer(self, question: JobQuestion, input: AnswerInput, at: datetime) -> None:
        values = with_defaults(question.form, input.values)
        answer = PersonAnswer(values=values, actor=input.actor, note=input.note, at=at)
        answered = {"status": QuestionStatus.ANSWERED, "ended_at": at, "answer": answer}
        self._put(question.model_copy(update=answered))

    def _end(self, question: JobQuestion, status: QuestionStatus, at: datetime) -> None:
        self._put(question.model_copy(update={"status": status, "ended_at": at}))

    def _put(self, question: JobQuestion) -> None:
        self._questions[question.id] = question
        self.changed.append(question)


def _approves_step(question: JobQuestion, job: JobInput | None) -> bool:
    """Whether a question is the restricted approval of a step of the plan."""
    step = job.plan.step(question.step) if job is not None and not job.code else None
    return question.kind is QuestionKind.APPROVAL and step is not None and step.approval is not None
