"""What the server answers, as typed objects."""

from __future__ import annotations

from devora._model import Model


class ProcessingStep(Model):
    """One agent's part in an answer. `duration` is seconds."""

    step: str
    agent: str
    status: str
    duration: float | None


class ChatMetadata(Model):
    """How an answer came about."""

    tokens_used: int
    model: str | None
    processing_steps: list[ProcessingStep]
    job_id: str
    cost: float | None
    notes: list[str]


class ChatResponse(Model):
    """An answer; `str(answer)` is its text. `quality_score`, from 0 to 1, is None when nothing judged it."""

    response: str
    session_id: str
    execution_mode: str
    quality_score: float | None
    execution_time: float
    metadata: ChatMetadata

    def __str__(self) -> str:
        return self.response
