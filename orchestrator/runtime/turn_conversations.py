"""The turns of a call so far, from the memory of the process that made the last one, else from the store."""

import secrets
from dataclasses import dataclass
from typing import Final

from pydantic_ai.messages import ModelMessage

from orchestrator.domain.commands import AgentTask
from orchestrator.domain.errors import AgentError
from orchestrator.domain.turns import TurnTask
from orchestrator.runtime.recent import Recent
from orchestrator.runtime.turn_messages import messages_of
from orchestrator.runtime.turn_records import TurnRecord, TurnRecords

_MOST: Final = 4_000_000  # Characters of JSON, of all conversations together. The objects take several times as much.


@dataclass(frozen=True, slots=True)
class EarlierTurns:
    """The records of a call's turns in their order, with their messages. `size` is the characters of their JSON."""

    records: tuple[TurnRecord, ...] = ()
    messages: tuple[ModelMessage, ...] = ()
    size: int = 0

    @property
    def last(self) -> TurnRecord | None:
        """The turn before the next one."""
        return self.records[-1] if self.records else None

    def followed_by(self, record: TurnRecord, size: int) -> "EarlierTurns":
        """This conversation and one more turn."""
        return EarlierTurns((*self.records, record), (*self.messages, *messages_of(record)), self.size + size)


class TurnConversations:
    """Reads and continues conversations.

    Each turn names the conversation that it leads to with a name that no other turn ever uses, and the workflow passes
    that name to the next turn. So a conversation in memory is the one of that turn, also after a reset of the job or if
    two workers made the same turn.
    """

    def __init__(self, records: TurnRecords) -> None:
        self._records = records
        self._recent: Recent[str, EarlierTurns] = Recent(_MOST)

    async def before(self, task: AgentTask, turn: TurnTask) -> EarlierTurns:
        """The turns before this one. Raises `AgentError` of kind `conversation_lost`, `Unavailable`."""
        if turn.number == 1:
            return EarlierTurns()
        recent = self._recent.get(turn.conversation)
        if recent is not None:
            return recent
        try:
            stored = await self._records.turns(task, turn.number - 1)
        except LookupError as error:
            message = f"A turn of this conversation is missing in the store: {error}. Was it deleted?"
            raise AgentError(message, kind="conversation_lost", retryable=False) from None
        conversation = EarlierTurns()
        for record in stored:
            conversation = conversation.followed_by(record, len(record.model_dump_json()))
        return conversation

    async def keep(self, task: AgentTask, turn: TurnTask, conversation: EarlierTurns, record: TurnRecord) -> None:
        """Store the record of a turn after its conversation. Raises `Unavailable`."""
        size = await self._records.keep_turn(task, turn.number, record)
        self._recent.drop(turn.conversation)
        if record.result.turn is not None:
            continued = conversation.followed_by(record, size)
            self._recent.add(record.result.turn.conversation, continued, continued.size)


def conversation_name() -> str:
    """A new name for the conversation that a turn leads to."""
    return secrets.token_hex(8)
