"""The event log of a job (A6): one numbered, ordered, resumable list for every transport."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.domain.jobs import JobState


class EventType(StrEnum):
    """The documented event types (D-062)."""

    JOB_QUEUED = "job_queued"
    JOB_STARTED = "job_started"
    JOB_PROGRESS = "job_progress"
    JOB_COMPLETED = "job_completed"
    JOB_FAILED = "job_failed"
    AGENT_EVENT = "agent_event"

    @property
    def terminal(self) -> bool:
        """Whether it is the last event of its job."""
        return self in (EventType.JOB_COMPLETED, EventType.JOB_FAILED)


class EventName(StrEnum):
    """The exact events. Signals of workflows written in code have other names: `signal.NAME`."""

    JOB_QUEUED = "job.queued"
    JOB_STARTED = "job.started"
    JOB_STUCK = "job.stuck"
    JOB_PAUSED = "job.paused"
    JOB_RESUMED = "job.resumed"
    JOB_CANCELLING = "job.cancelling"
    JOB_RESET = "job.reset"
    JOB_ADOPTED = "job.adopted"
    JOB_CONTINUED = "job.continued"
    JOB_HISTORY_LONG = "job.history_long"
    JOB_COMPLETED = "job.completed"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    JOB_TIMEOUT = "job.timeout"
    AGENT_SCHEDULED = "agent.scheduled"
    AGENT_COMPLETED = "agent.completed"
    AGENT_REUSED = "agent.reused"
    AGENT_FAILED = "agent.failed"
    AGENT_CANCELLED = "agent.cancelled"
    AGENT_TURN = "agent.turn"
    AGENT_FALLBACK = "agent.fallback"
    TOOL_CALL_SCHEDULED = "agent.tool_call.scheduled"
    TOOL_CALL_COMPLETED = "agent.tool_call.completed"
    TOOL_CALL_FAILED = "agent.tool_call.failed"
    TOOL_CALL_CANCELLED = "agent.tool_call.cancelled"
    TOOL_CHANGED = "agent.tool_changed"
    STEP_WAITING = "step.waiting"
    STEP_APPROVED = "step.approved"
    STEP_REJECTED = "step.rejected"
    STEP_SKIPPED = "step.skipped"
    STEP_ITEMS = "step.items"
    STEP_ROUND = "step.round"
    STEP_FAILED = "step.failed"
    QUESTION_ASKED = "question.asked"
    QUESTION_ANSWERED = "question.answered"
    QUESTION_EXPIRED = "question.expired"
    QUESTION_WITHDRAWN = "question.withdrawn"


class JobEvent(BaseModel):
    """One event. `id` is the cursor `run_id:event_id`; `name` is the exact event (`agent.completed`)."""

    model_config = ConfigDict(frozen=True)

    id: str
    type: EventType
    name: str
    job_id: str
    state: JobState
    progress: int
    exact: bool = True
    current_step: str | None = None
    message: str
    timestamp: datetime
    data: dict[str, Any] = Field(default_factory=dict)


def cursor(run_id: str, event_id: int) -> str:
    """The cursor of one history event."""
    return f"{run_id}:{event_id}"


def parse_cursor(value: str) -> tuple[str, int] | None:
    """`(run_id, event_id)` of a cursor, or None if it is not a cursor."""
    run_id, colon, number = value.rpartition(":")
    if not colon or not run_id or not number.isascii() or not number.isdigit():
        return None
    return run_id, int(number)
