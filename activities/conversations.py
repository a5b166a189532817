"""The activities of conversations (A11): the row of a turn's job, the memory, the end of a session."""

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.errors import temporal_errors
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
    """Activities over the port `ConversationLog`."""

    def __init__(self, records: ConversationLog) -> None:
        self._records = records

    @activity.defn(name=names.ACTIVITY_ACCEPT_TURN)
    async def accept_turn(self, turn: TurnAcceptance) -> Recorded:
        """Write the row of a turn's job. An existing row stays; `ok` is False if its job has ended.

        If its owner has no free slot, it fails with the code and the details of `LimitExceeded`.
        """
        with temporal_errors():
            try:
                return Recorded(ok=await self._records.accept(turn))
            except LimitExceeded as error:
                benign = ApplicationErrorCategory.BENIGN  # the caller gets the refusal: nothing to log
                raise ApplicationError(
                    error.message, error.details, type=error.code, non_retryable=True, category=benign
                ) from None

    @activity.defn(name=names.ACTIVITY_AWAIT_JOB)
    async def await_job(self, query: JobQuery) -> JobEnded:
        """The end of a job that another process started. While the job is open, the attempt fails and is retried."""
        with temporal_errors():
            end = await self._records.ended(query)
        if end is None:
            raise ApplicationError("the job is still running", type="open", category=ApplicationErrorCategory.BENIGN)
        return end

    @activity.defn(name=names.ACTIVITY_RECALL)
    async def recall_conversation(self, query: ConversationQuery) -> Memory:
        """The memory that the session's last run stored; empty for a new session."""
        with temporal_errors():
            return await self._records.recall(query.conversation_id)

    @activity.defn(name=names.ACTIVITY_REMEMBER)
    async def remember_conversation(self, record: ConversationRecord) -> Recorded:
        """Store the memory of the session."""
        with temporal_errors():
            await self._records.remember(record)
        return Recorded()

    @activity.defn(name=names.ACTIVITY_END_SESSION)
    async def end_session(self, end: SessionEnd) -> Recorded:
        """Store the memory, and notify webhooks of the end once."""
        with temporal_errors():
            await self._records.end(end)
        return Recorded()
