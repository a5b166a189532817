"""A job as `orchestrator run` reads it: only what is shown, so that an API of another version can be followed too."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.domain.jobs import CallStatus


class Seen(BaseModel):
    """A part of the API's answer; fields that we do not know are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Fault(Seen):
    """Why something failed."""

    type: str = "error"
    message: str = ""


class Attempt(Seen):
    """One attempt of a call."""

    number: int
    error: Fault | None = None


class Call(Seen):
    """One planned agent call; `duration` is seconds."""

    step: str
    agent: str
    call: int = 1
    title: str = ""
    status: str
    attempts: list[Attempt] = Field(default_factory=list)
    tokens: int = 0
    duration: float | None = None
    model: str | None = None
    error: Fault | None = None

    @property
    def ended(self) -> bool:
        """Whether the call will not change any more."""
        return self.status in _ENDED


class Why(Seen):
    """Why an open job is where it is."""

    code: str
    message: str


class Used(Seen):
    """What a job used. `cost` (the agents' published price) and `provider_cost` are USD, null where they are not known;
    `execution_time` is seconds."""

    total_tokens: int = 0
    execution_time: float | None = None
    cost: float | None = None
    provider_cost: float | None = None


class FollowedJob(Seen):
    """A job."""

    job_id: str
    name: str = ""
    status: str
    state: str = ""
    reason: Why | None = None
    progress: int = 0
    output: dict[str, Any] | None = None
    error: Fault | None = None
    metrics: Used = Used()
    steps: list[Call] = Field(default_factory=list)
    completed_at: datetime | None = None
    run_page: str | None = None


_ENDED = frozenset(status for status in CallStatus if status.ended)
