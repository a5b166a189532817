"""The records of conversations in the index: the jobs of their turns, their memory, and their end."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from datetime import datetime

from orchestrator.domain.access import Principal
from orchestrator.domain.conversations import (
    ConversationRecord,
    JobEnded,
    JobQuery,
    Memory,
    SessionEnd,
    TurnAcceptance,
)
from orchestrator.domain.errors import NotFound
from orchestrator.domain.webhooks import WebhookEvent
from orchestrator.services.jobs.follower import JobFollower
from orchestrator.services.webhooks.dispatcher import DeliveryDispatcher
from orchestrator.storage.artifacts import ArtifactRepository
from orchestrator.storage.deliveries import DeliveryRepository
from orchestrator.storage.jobs import JobRepository

_NAME = "memory"
_JOB_END_TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ConversationRecords:
    """The port `ConversationLog`."""

    jobs: JobRepository
    artifacts: ArtifactRepository
    follower: JobFollower
    deliveries: DeliveryRepository
    dispatcher: DeliveryDispatcher
    _: KW_ONLY
    clock: Callable[[], datetime]

    async def accept(self, turn: TurnAcceptance) -> bool:
        """Write the row of a turn's job. False if the row exists and the job has ended.

        Raises `LimitExceeded` if the tier of the owner permits no further open job.
        """
        row = await self.jobs.accept(turn.job, request_hash=turn.request_hash, at=self.clock(), limit=turn.most_open)
        return row is None or not row.state.terminal

    async def ended(self, query: JobQuery) -> JobEnded | None:
        """How a job ended. Waits some seconds for the end. None while the job runs."""
        owner = Principal(id=query.owner, scopes=frozenset())
        job = await self.follower.until_end(owner, query.job_id, _JOB_END_TIMEOUT_SECONDS)
        if not job.state.terminal:
            return None
        output = str(job.result["output"]) if job.result else ""
        return JobEnded(job_id=job.id, state=job.state, error=job.error, output=output)

    async def recall(self, conversation_id: str) -> Memory:
        """The stored memory of a conversation, or an empty memory."""
        try:
            return Memory.model_validate(await self.artifacts.get(f"{conversation_id}/{_NAME}"))
        except NotFound:
            return Memory()

    async def remember(self, record: ConversationRecord) -> None:
        """Store the memory of a conversation in place of the old one."""
        await self.artifacts.put(record.conversation_id, _NAME, record.memory.model_dump(mode="json"))

    async def end(self, end: SessionEnd) -> None:
        """Store the memory and write the deliveries of `session.ended`. Idempotent.

        A session without messages has no deliveries.
        """
        await self.remember(ConversationRecord(conversation_id=end.conversation_id, memory=end.memory))
        if not end.turns:
            return
        due = await self.deliveries.notify(
            end.owner,
            WebhookEvent.SESSION_ENDED,
            cause=f"{end.run_id}/{end.turns}",
            data={"session_id": end.session_id, "turns": end.turns},
            at=end.at,
        )
        if due:
            self.dispatcher.dispatch(due)
