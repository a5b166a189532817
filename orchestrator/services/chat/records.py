"""What conversations keep in the index: rows of their turns' jobs, what they remember, and that they ended."""

from collections.abc import Callable
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
_PATIENCE = 20.0


class ConversationRecords:
    """The port `ConversationLog`."""

    def __init__(
        self,
        jobs: JobRepository,
        artifacts: ArtifactRepository,
        follower: JobFollower,
        deliveries: DeliveryRepository,
        dispatcher: DeliveryDispatcher,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._jobs = jobs
        self._artifacts = artifacts
        self._follower = follower
        self._deliveries = deliveries
        self._dispatcher = dispatcher
        self._clock = clock

    async def accept(self, turn: TurnAcceptance) -> bool:
        """Write the row of a turn's job; False when the row tells that it has ended.

        Raises `LimitExceeded` when its owner has as many open jobs as the tier allows.
        """
        there = await self._jobs.accept(
            turn.job, request_hash=turn.request_hash, at=self._clock(), limit=turn.most_open
        )
        return there is None or not there.state.terminal

    async def ended(self, query: JobQuery) -> JobEnded | None:
        """How a job ended, waiting some seconds for it; None while it goes on."""
        owner = Principal(id=query.owner, scopes=frozenset())
        job = await self._follower.until_end(owner, query.job_id, _PATIENCE)
        if not job.state.terminal:
            return None
        output = str(job.result["output"]) if job.result else ""
        return JobEnded(job_id=job.id, state=job.state, error=job.error, output=output)

    async def recall(self, conversation_id: str) -> Memory:
        """What a conversation stored; empty when it never did."""
        try:
            return Memory.model_validate(await self._artifacts.get(f"{conversation_id}/{_NAME}"))
        except NotFound:
            return Memory()

    async def remember(self, record: ConversationRecord) -> None:
        """Store it over what was stored before."""
        await self._artifacts.put(record.conversation_id, _NAME, record.memory.model_dump(mode="json"))

    async def end(self, end: SessionEnd) -> None:
        """Store the memory and write the deliveries of `session.ended`; both again when it comes again.

        Nothing is told of a session that took no message.
        """
        await self.remember(ConversationRecord(conversation_id=end.conversation_id, memory=end.memory))
        if not end.turns:
            return
        due = await self._deliveries.notify(
            end.owner,
            WebhookEvent.SESSION_ENDED,
            cause=f"{end.run_id}/{end.turns}",
            data={"session_id": end.session_id, "turns": end.turns},
            at=end.at,
        )
        if due:
            self._dispatcher.dispatch(due)
