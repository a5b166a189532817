"""Bodies of questions to people."""

from typing import Any, Literal

from pydantic import Field

from api.v1.wire import Timestamp, Wire
from orchestrator.domain.questions import JobQuestion, QuestionKind, QuestionStatus


class AnswerDetail(Wire):
    """The answer to a question. `how` is `default` or `skipped` if nobody answered in time."""

    values: dict[str, Any] = Field(description="With the defaults of the form.")
    actor: str = Field(description="Who answered.")
    note: str
    at: Timestamp
    how: Literal["answered", "default", "skipped"]


class QuestionBody(Wire):
    """A question of a job to a person, and what became of it."""

    id: str = Field(description="Unique in the job; `step` of an answer.")
    kind: QuestionKind = Field(
        description="`form` asks for values, `approval` for a yes or no, `tool` for a yes or no to one tool call."
    )
    status: QuestionStatus = Field(
        description="`expired`: the deadline passed; `withdrawn`: nothing waits for an answer any more."
    )
    step: str
    agent: str | None = Field(description="The agent whose tool call needs a yes.")
    message: str
    input_schema: dict[str, Any] = Field(description="JSON Schema of the `values` of an answer.")
    details: Any = Field(description="What to decide on, such as the arguments of the tool call.")
    by: list[str] = Field(description="Who may answer: `owner`, `owner:ID`, `role:ROLE`, `key:NAME`; empty: see docs.")
    on_timeout: Literal["fail", "default", "skip"]
    asked_at: Timestamp | None
    deadline: Timestamp | None
    ended_at: Timestamp | None
    answer: AnswerDetail | None


def question_body(question: JobQuestion) -> QuestionBody:
    """Return one question."""
    fields = {name: getattr(question, name) for name in QuestionBody.model_fields if hasattr(question, name)}
    answer = question.answer and AnswerDetail(**dict(question.answer))
    return QuestionBody(**{**fields, "input_schema": question.form, "by": list(question.by), "answer": answer})
