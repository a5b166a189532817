"""Conversations: the turns of a session, and the messages of its workflow (A11, A-013 to A-015)."""

from datetime import datetime
from enum import StrEnum
from typing import Final

from pydantic import Field

from orchestrator.domain.commands import JobInput, Message
from orchestrator.domain.ids import JobKind, digest, idempotent_job_id
from orchestrator.domain.jobs import JobError, JobState

MAX_REMEMBERED: Final = 20
MEMORY_BYTES: Final = 32 * 1024
REMEMBERED_CHARACTERS: Final = 2000
# Temporal accepts ten open updates of one workflow. We refuse further turns before that, with our own error.
MAX_WAITING: Final = 8
SESSION_BUSY: Final = "session_busy"
SURFACE: Final = "chat"
_PREFIX: Final = "conv_"


class Swarm(StrEnum):
    """The groups of agents that can answer a message (A-013)."""

    CODING_TEAM = "coding-team"
    RESEARCH_TEAM = "research-team"
    CREATIVE_TEAM = "creative-team"
    CODING_DEBATE = "coding-debate"


class Mode(StrEnum):
    """How much work one answer gets (A-013)."""

    LITE = "lite"
    BALANCED = "balanced"
    QUALITY = "quality"


class Remembered(Message):
    """One turn as later turns see it: both texts are shortened."""

    job_id: str
    at: datetime
    message: str
    answer: str


class Memory(Message):
    """The last turns of a conversation, oldest first, within `MAX_REMEMBERED` turns and `MEMORY_BYTES`."""

    turns: list[Remembered] = Field(default_factory=list)

    def with_turn(self, job_id: str, at: datetime, message: str, answer: str) -> "Memory":
        """The memory with another turn, without the oldest ones if it is full. A turn is added once."""
        if any(turn.job_id == job_id for turn in self.turns):
            return self
        new = Remembered(job_id=job_id, at=at, message=_cut(message), answer=_cut(answer))
        turns = [*self.turns, new][-MAX_REMEMBERED:]
        while len(turns) > 1 and _size(turns) > MEMORY_BYTES:
            turns.pop(0)
        return Memory(turns=turns)

    def texts(self) -> list[str]:
        """The turns as texts for a model."""
        return [f"User: {turn.message}\nAssistant: {turn.answer}" for turn in self.turns]


class ConversationInput(Message):
    """Input of the workflow `conversation`. The session ends after `idle` seconds without a turn.

    A run passes `memory` and `turns` to the run that continues it.
    """

    conversation_id: str
    owner: str
    session_id: str
    idle: float
    memory: Memory | None = None
    turns: int = 0


class TurnRequest(Message):
    """Update `turn`: the job that answers one message, `input.message`. The caller chooses its id.

    The turn is refused if its owner has `most_open` open jobs when it begins.
    """

    job: JobInput
    request_hash: str
    use_memory: bool = False
    job_timeout: float | None = None
    most_open: int | None = None


class TurnResult(Message):
    """How a turn's job ended. The answer is the job's output."""

    job_id: str
    state: JobState
    error: JobError | None = None


class TurnAcceptance(Message):
    """Input of the activity that writes the row of a turn's job before its start, and checks its owner's limit."""

    job: JobInput
    request_hash: str
    most_open: int | None = None


class JobQuery(Message):
    """Input of the activity that waits for a job that another process started."""

    job_id: str
    owner: str


class JobEnded(TurnResult):
    """The end of that job, with its output."""

    output: str = ""


class ConversationQuery(Message):
    """Input of the activity that reads the memory of an earlier run of a conversation."""

    conversation_id: str


class ConversationRecord(Message):
    """Input of the activity that stores the memory of a conversation."""

    conversation_id: str
    memory: Memory


class SessionEnd(Message):
    """Input of the activity that stores the memory and notifies webhooks of the end of a session (`session.ended`)."""

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
    """The workflow id of an owner's session. The client chooses the session id (C-30)."""
    return _PREFIX + digest(owner, session_id)[:32]


def is_conversation(subject: str) -> bool:
    """Whether the subject of a job is a conversation: then the job is one of its turns."""
    return subject.startswith(_PREFIX)


def turn_job_id(owner: str, session_id: str, request_id: str, message: str) -> str:
    """The job id for a client's request id. `message` is the digest of the whole request: another message under the
    same request id is another turn."""
    return idempotent_job_id(JobKind.WORKFLOW, owner, "chat", session_id, request_id, message)


def _cut(text: str) -> str:
    return text if len(text) <= REMEMBERED_CHARACTERS else text[: REMEMBERED_CHARACTERS - 1] + "…"


def _size(turns: list[Remembered]) -> int:
    return sum(len(turn.model_dump_json().encode()) for turn in turns)
