"""The text of one attempt of one agent call, for the readers of its job (A7)."""

from orchestrator.domain.commands import AgentTask
from orchestrator.domain.deltas import Delta, DeltaKind
from orchestrator.domain.ports import DeltaBus


class CallText:
    """A `TextSink` that numbers an attempt's deltas from 0 and publishes them on the bus."""

    def __init__(self, bus: DeltaBus, task: AgentTask, agent: str, attempt: int) -> None:
        self._bus = bus
        self._job_id = task.job_id
        self._step = task.step.id
        self._agent = agent
        self._call = task.call
        self._key = task.key
        self._attempt = attempt
        self._index = 0

    async def is_read(self) -> bool:
        """Whether somebody reads the text of the job now."""
        return await self._bus.has_readers(self._job_id)

    def text(self, piece: str) -> None:
        """Publish a piece of the answer."""
        self._publish(DeltaKind.TEXT, piece)

    def reset(self) -> None:
        """Publish that the text so far is void."""
        self._publish(DeltaKind.RESET)

    def _publish(self, kind: DeltaKind, text: str = "") -> None:
        self._bus.publish(
            Delta(
                job_id=self._job_id,
                step=self._step,
                agent=self._agent,
                call=self._call,
                key=self._key,
                attempt=self._attempt,
                index=self._index,
                kind=kind,
                text=text,
            )
        )
        self._index += 1
