"""The activities of conversations (A11): the row of a turn's job, the memory, the end of a session."""

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.errors import told_to_temporal
from orchestrator.domain import names
from orchestrator.domain.commands import Recorded
from orchestrator.domain.conversations import (
    ConversationQuery,
    ConversationRecord,
    JobEnded,
    JobQuery,
    Memory,
    SessionEnd,
    TurnAcceptance,
)
from orchestrator.domain.errors import LimitExceeded
from orchestrator.domain.ports import ConversationLog


class ConversationActivities:
    """Bound to their port once, by the composition root."""

    def __init__(self, records: ConversationLog) -> None:
        self._records = records

    @activity.defn(name=names.ACTIVITY_ACCEPT_TURN)
    async def accept_turn(self, turn: TurnAcceptance) -> Recorded:
        """Write the row of a turn's job; one that is there stays, and `ok` is False when that job has ended.

        Without a free slot of its owner it fails with the code of `LimitExceeded`, and its details.
        """
        with told_to_temporal():
            try:
                return Recorded(ok=await self._records.accept(turn))
            except LimitExceeded as full:
                benign = ApplicationErrorCategory.BENIGN  # a refusal that the caller is told of: nothing to log
                raise ApplicationError(
                    full.message, full.details, type=full.code, non_retryable=True, category=benign
                ) from None

    @activity.defn(name=names.ACTIVITY_AWAIT_JOB)
    async def await_job(self, query: JobQuery) -> JobEnded:
        """How a job ended that another has started. While it has not, the attempt fails and comes again."""
        with told_to_temporal():
            ended = await self._records.ended(query)
        if ended is None:
            raise ApplicationError("the job goes on", type="open", category=ApplicationErrorCategory.BENIGN)
        return ended

    @activity.defn(name=names.ACTIVITY_RECALL)
    async def recall_conversation(self, query: ConversationQuery) -> Memory:
        """What the session's last run stored; nothing for a new session."""
        with told_to_temporal():
            return await self._records.recall(query.conversation_id)

    @activity.defn(name=names.ACTIVITY_REMEMBER)
    async def remember_conversation(self, record: ConversationRecord) -> Recorded:
        """Store what the session remembers."""
        with told_to_temporal():
            await self._records.remember(record)
        return Recorded()

    @activity.defn(name=names.ACTIVITY_END_SESSION)
    async def end_session(self, end: SessionEnd) -> Recorded:
        """Store the memory for good, and tell webhooks of the end, once."""
        with told_to_temporal():
            await self._records.end(end)
        return Recorded()
