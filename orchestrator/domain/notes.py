"""What workflow code decided, as facts of history: values can be stored by reference, so no reader can decide again."""

from collections.abc import Iterable
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.domain.jobs import JobError
from orchestrator.domain.questions import PersonQuestion

_MEBIBYTE: Final = 1024 * 1024
HISTORY_EVENTS: Final = 51_200
"""Temporal terminates a run whose history has more events: its server's default of `limit.historyCount.error`."""
HISTORY_BYTES: Final = 50 * _MEBIBYTE
"""Temporal terminates a run whose history has more bytes: its server's default of `limit.historySize.error`."""


class Note(BaseModel):
    """One decision. Its class sets `kind`; a reader ignores kinds and fields that it does not know."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: str


class StepSkipped(Note):
    """A step does not run: its condition is false, or a step that it needs did not run."""

    kind: Literal["skipped"] = "skipped"
    step: str
    key: str = ""
    why: str


class ItemsListed(Note):
    """A step runs once for each of these items."""

    kind: Literal["items"] = "items"
    step: str
    key: str = ""
    keys: tuple[str, ...]
    agent: str = Field(default="", description="The agent of each item, in workflow code.")
    enough: int | None = Field(default=None, description="How many results suffice, in workflow code.")


class RoundBegun(Note):
    """A round of a repeated step begins."""

    kind: Literal["round"] = "round"
    step: str
    key: str = ""
    number: int


class RoundsEnded(Note):
    """A repeated step has ended after that many rounds."""

    kind: Literal["rounds"] = "rounds"
    step: str
    key: str = ""
    number: int


class ItemsEnded(Note):
    """Enough items of a step are done; the others are cancelled or never begin."""

    kind: Literal["items_ended"] = "items_ended"
    step: str
    key: str = ""


class FailedStep(Note):
    """A step failed outside an agent call, or its failure does not end the job."""

    kind: Literal["step_failed"] = "step_failed"
    step: str
    key: str = ""
    error: JobError
    on_error: str = "fail"


class QuestionAsked(Note):
    """The workflow waits for a person."""

    kind: Literal["question"] = "question"
    question: PersonQuestion


class QuestionEnded(Note):
    """A question ended without an answer: its deadline passed (`expired`), or nothing waits for it any more."""

    kind: Literal["question_ended"] = "question_ended"
    id: str
    how: Literal["expired", "withdrawn"]


class FlowBegun(Note):
    """Workflow code handles the controls of its job, and its calls are those that it makes."""

    kind: Literal["flow"] = "flow"


class CallsExpected(Note):
    """Workflow code announces how many calls its job makes in all."""

    kind: Literal["expected"] = "expected"
    calls: int


class ToolChanged(Note):
    """An allowed tool of an MCP server is not what it was when the job listed it before."""

    kind: Literal["tool_changed"] = "tool_changed"
    step: str
    key: str = ""
    agent: str
    server: str
    tool: str
    parts: tuple[str, ...] = ()


class HistoryGrown(Note):
    """The history of a run is more than half full."""

    kind: Literal["history_grown"] = "history_grown"
    events: int
    bytes: int

    @property
    def text(self) -> str:
        """How full it is, for people."""
        size, limit = self.bytes / _MEBIBYTE, HISTORY_BYTES // _MEBIBYTE
        return f"{self.events:,} of at most {HISTORY_EVENTS:,} events, {size:.1f} of at most {limit} MiB"

    @property
    def remedy(self) -> str:
        """What to do, for people."""
        return "Put longer work into children (flow.run_workflow) or into a plan: each has a history of its own."


KINDS: Final[dict[str, type[Note]]] = {
    kind.model_fields["kind"].default: kind
    for kind in (
        StepSkipped,
        ItemsListed,
        RoundBegun,
        RoundsEnded,
        ItemsEnded,
        FailedStep,
        QuestionAsked,
        QuestionEnded,
        FlowBegun,
        CallsExpected,
        ToolChanged,
        HistoryGrown,
    )
}


def read_notes(values: object) -> tuple[Note, ...]:
    """The notes in a value of a memo. Unknown kinds, and what is no note, are left out."""
    items: Iterable[Any] = values if isinstance(values, list | tuple) else ()
    return tuple(note for item in items if isinstance(item, dict) and (note := _note(item)) is not None)


def _note(item: dict[str, Any]) -> Note | None:
    kind = KINDS.get(str(item.get("kind")))
    try:
        return kind.model_validate(item) if kind else None
    except ValidationError:
        return None
