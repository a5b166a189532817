"""A job as the commands read it: only the fields that they show, so that APIs of other versions work too."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.domain.jobs import AttemptStatus, CallStatus


class JobView(BaseModel):
    """A part of an API response. Unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ShownFault(JobView):
    """Why something failed."""

    type: str = "error"
    message: str = ""
    step: str | None = None
    agent: str | None = None


class ShownAttempt(JobView):
    """One attempt of a call."""

    number: int
    status: str = ""
    started_at: datetime | None = None
    completed_at: datetime | None = None
    error: ShownFault | None = None


class ShownToolCall(JobView):
    """One tool call of an agent."""

    tool: str
    status: str = ""
    arguments: str = ""
    error: ShownFault | None = None


class ShownCall(JobView):
    """One planned agent call; `duration` is seconds, `cost` USD."""

    step: str
    agent: str
    call: int = 1
    key: str = ""
    title: str = ""
    status: str
    attempts: list[ShownAttempt] = Field(default_factory=list)
    tokens: int = 0
    cost: float | None = None
    duration: float | None = None
    model: str | None = None
    error: ShownFault | None = None
    reused: bool = False
    turns: int | None = None
    tool_calls: list[ShownToolCall] = Field(default_factory=list)

    @property
    def tries(self) -> list[ShownAttempt]:
        """Its attempts; of an agent with tools those of its present turn, and those that failed in earlier ones."""
        return [attempt for attempt in self.attempts if attempt.status != AttemptStatus.CONTINUED]

    @property
    def place(self) -> str:
        """The step, with the item or the round of the call if it has one."""
        return f"{self.step}[{self.key}]" if self.key else self.step

    @property
    def ended(self) -> bool:
        """Whether the call has ended."""
        return self.status in _ENDED


class ShownQuestion(JobView):
    """A question to a person."""

    id: str
    kind: str = ""
    status: str = ""
    step: str = ""
    message: str = ""
    input_schema: dict[str, Any] = Field(default_factory=dict)
    details: Any = None
    deadline: datetime | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the answer, with their schemas."""
        fields = self.input_schema.get("properties")
        return fields if isinstance(fields, dict) else {}


class Why(JobView):
    """The reason of an open job."""

    code: str
    message: str
    step: str | None = None
    since: datetime | None = None
    next_attempt_at: datetime | None = None


class Used(JobView):
    """What a job used. `cost` (the agents' published price) and `provider_cost` are USD, null if they are unknown;
    `reused_cost` is the cost of the calls that were reused after a retry. `execution_time` is seconds."""

    total_tokens: int = 0
    execution_time: float | None = None
    cost: float | None = None
    provider_cost: float | None = None
    reused_cost: float | None = None


class ListedJob(JobView):
    """A job in a list."""

    job_id: str
    name: str = ""
    workflow_id: str | None = None
    agent_id: str | None = None
    status: str
    state: str = ""
    reason: Why | None = None
    error: ShownFault | None = None
    progress: int | None = 0
    calls_done: int = 0
    calls_known: int = 0
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    retry_of: str | None = None
    retried_by: list[str] | None = None

    @property
    def target(self) -> str:
        """The id of its workflow or agent."""
        return self.workflow_id or self.agent_id or self.name

    @property
    def progress_text(self) -> str:
        """Percent, or the calls that have ended of those that are known while the number of calls is open.

        A list has no numbers of calls.
        """
        if self.progress is not None:
            return f"{self.progress} %"
        return f"{self.calls_done}/{self.calls_known}" if self.calls_known else "–"


class FollowedJob(ListedJob):
    """A job in full."""

    output: dict[str, Any] | None = None
    metrics: Used = Used()
    steps: list[ShownCall] = Field(default_factory=list)
    questions: list[ShownQuestion] = Field(default_factory=list)
    run_page: str | None = None

    @property
    def failed_calls(self) -> int:
        """How many of its calls failed."""
        return sum(call.status == CallStatus.FAILED for call in self.steps)


_ENDED = frozenset(status for status in CallStatus if status.ended)
