"""Conversations: what is said in a session, turn by turn, and what their workflow is told (A11, A-013 to A-015)."""

from datetime import datetime
from enum import StrEnum
from typing import Final

from pydantic import Field

from orchestrator.domain.commands import JobInput, Message
from orchestrator.domain.ids import JobKind, digest, idempotent_job_id
from orchestrator.domain.jobs import JobError, JobState

MOST_REMEMBERED: Final = 20
MEMORY_BYTES: Final = 32 * 1024
REMEMBERED_CHARACTERS: Final = 2000
# Temporal takes ten updates of one workflow at a time; the rest is told to wait in words of ours.
MOST_WAITING: Final = 8
SESSION_BUSY: Final = "session_busy"
SURFACE: Final = "chat"
_PREFIX: Final = "conv_"


class Swarm(StrEnum):
    """The groups of agents that a message can be given to (A-013)."""

    CODING_TEAM = "coding-team"
    RESEARCH_TEAM = "research-team"
    CREATIVE_TEAM = "creative-team"
    CODING_DEBATE = "coding-debate"


class Mode(StrEnum):
    """How much work goes into one answer (A-013)."""

    LITE = "lite"
    BALANCED = "balanced"
    QUALITY = "quality"


class Remembered(Message):
    """One turn as later turns are told of it: both texts are cut."""

    job_id: str
    at: datetime
    message: str
    answer: str


class Memory(Message):
    """The last turns of a conversation, oldest first, within `MOST_REMEMBERED` turns and `MEMORY_BYTES`."""

    turns: list[Remembered] = Field(default_factory=list)

    def with_turn(self, job_id: str, at: datetime, message: str, answer: str) -> "Memory":
        """One turn more; a turn that is there already is not added again, the oldest make room."""
        if any(turn.job_id == job_id for turn in self.turns):
            return self
        new = Remembered(job_id=job_id, at=at, message=_cut(message), answer=_cut(answer))
        turns = [*self.turns, new][-MOST_REMEMBERED:]
        while len(turns) > 1 and _size(turns) > MEMORY_BYTES:
            turns.pop(0)
        return Memory(turns=turns)

    def told(self) -> list[str]:
        """The turns as a model is shown them."""
        return [f"User: {turn.message}\nAssistant: {turn.answer}" for turn in self.turns]


class ConversationInput(Message):
    """Input of the workflow `conversation`: whose session it is. `idle` seconds without a turn end it.

    `memory` and `turns` are what a run hands to the run that continues it.
    """

    conversation_id: str
    owner: str
    session_id: str
    idle: float
    memory: Memory | None = None
    turns: int = 0


class TurnRequest(Message):
    """Update `turn`: the job that answers one message, `input.message`. Its id is chosen beforehand.

    With `most_open` it is refused where its owner has so many open jobs when its turn comes.
    """

    job: JobInput
    request_hash: str
    use_memory: bool = False
    job_timeout: float | None = None
    most_open: int | None = None


class TurnResult(Message):
    """What became of a turn's job; the answer itself is the job's output."""

    job_id: str
    state: JobState
    error: JobError | None = None


class TurnAcceptance(Message):
    """Input of the activity that writes the row of a turn's job before its start, within its owner's limit."""

    job: JobInput
    request_hash: str
    most_open: int | None = None


class JobQuery(Message):
    """Input of the activity that waits for a job which somebody else has started."""

    job_id: str
    owner: str


class JobEnded(TurnResult):
    """How that job ended, with its output."""

    output: str = ""


class ConversationQuery(Message):
    """Input of the activity that reads what an earlier run of a conversation remembered."""

    conversation_id: str


class ConversationRecord(Message):
    """Input of the activity that stores what a conversation remembers."""

    conversation_id: str
    memory: Memory


class SessionEnd(Message):
    """Input of the activity that stores the memory and tells webhooks that a session ended (`session.ended`)."""

    conversation_id: str
    run_id: str
    owner: str
    session_id: str
    turns: int
    memory: Memory
    at: datetime


class ConversationEnd(Message):
    """Output of the workflow `conversation`."""

    turns: int


def conversation_id(owner: str, session_id: str) -> str:
    """The workflow id of one owner's session; the session id is the client's own text (C-30)."""
    return _PREFIX + digest(owner, session_id)[:32]


def is_conversation(subject: str) -> bool:
    """Whether the subject of a job is a conversation, so that the job is a turn of it."""
    return subject.startswith(_PREFIX)


def turn_job_id(owner: str, session_id: str, request_id: str, message: str) -> str:
    """The job that a client's request id always leads to. The same id with another `message`, the digest
    of all that was said, is another turn."""
    return idempotent_job_id(JobKind.WORKFLOW, owner, "chat", session_id, request_id, message)


def _cut(text: str) -> str:
    return text if len(text) <= REMEMBERED_CHARACTERS else text[: REMEMBERED_CHARACTERS - 1] + "…"


def _size(turns: list[Remembered]) -> int:
    return sum(len(turn.model_dump_json().encode()) for turn in turns)
