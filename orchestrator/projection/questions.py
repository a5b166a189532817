"""The fold of a job's questions to people."""

from datetime import datetime

from orchestrator.domain.commands import Decision
from orchestrator.domain.facts import AnswerGiven, Noted
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
    """The questions of a job, over all its runs. Each method says whether it changed anything."""

    def __init__(self) -> None:
        self._questions: dict[str, JobQuestion] = {}
        self._early: dict[str, AnswerInput] = {}

    def all(self) -> list[JobQuestion]:
        """Every question, oldest first."""
        return list(self._questions.values())

    def open(self) -> list[JobQuestion]:
        """The questions that wait for an answer, oldest first."""
        return [question for question in self._questions.values() if question.open]

    def question(self, id: str) -> JobQuestion | None:
        """The question of that id."""
        return self._questions.get(id)

    def noted(self, fact: Noted) -> list[JobQuestion]:
        """Apply notes of the workflow. Returns the questions that they begin or end."""
        return [question for note in fact.notes if (question := self._noted(note, fact.time)) is not None]

    def _noted(self, note: Note, at: datetime) -> JobQuestion | None:
        if isinstance(note, QuestionAsked):
            id = note.question.id
            self._questions.pop(id, None)
            self._questions[id] = JobQuestion(**dict(note.question))
            early = self._early.pop(id, None)
            if early is not None and note.question.kind is not QuestionKind.FORM:
                self._answer(early, at)
            return self._questions[id]
        if isinstance(note, QuestionEnded) and (question := self._questions.get(note.id)) and question.open:
            return self._end(question, QuestionStatus(note.how), at)
        return None

    def given(self, fact: AnswerGiven) -> bool:
        """Apply an answer that the workflow accepted. A repeated one changes nothing."""
        question = self._questions.get(fact.answer.step)
        if question is None or not question.open:
            return False
        self._answer(fact.answer, fact.time)
        return True

    def decided(self, decision: Decision, *, approved: bool, at: datetime) -> bool:
        """Apply a decision by signal to an approval or a tool call. It can come before its question."""
        answer = AnswerInput(
            step=decision.step, values={"approved": approved}, actor=decision.actor, note=decision.note
        )
        question = self._questions.get(decision.step)
        if question is None:
            self._early.setdefault(decision.step, answer)
            return False
        if not question.open or question.kind is QuestionKind.FORM:
            return False
        self._answer(answer, at)
        return True

    def run_ended(self, at: datetime) -> None:
        """Nothing waits for an answer any more."""
        for question in self.open():
            self._end(question, QuestionStatus.WITHDRAWN, at)

    def _answer(self, input: AnswerInput, at: datetime) -> None:
        question = self._questions[input.step]
        answer = PersonAnswer(
            values=with_defaults(question.form, input.values), actor=input.actor, note=input.note, at=at
        )
        self._questions[question.id] = question.model_copy(
            update={"status": QuestionStatus.ANSWERED, "ended_at": at, "answer": answer}
        )

    def _end(self, question: JobQuestion, status: QuestionStatus, at: datetime) -> JobQuestion:
        ended = question.model_copy(update={"status": status, "ended_at": at})
        self._questions[question.id] = ended
        return ended
