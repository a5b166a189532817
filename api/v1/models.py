"""Jobs as the native API shows them (D-026 to D-028, D-040 to D-052, architecture section 4)."""

from typing import Any

from pydantic import Field

from api.v1.wire import Links, Target, Timestamp, Wire, absent
from orchestrator.domain.jobs import JobError


class Metrics(Wire):
    """What a job used so far. Costs are USD, null where no price is known; `execution_time` is seconds, once ended."""

    total_tokens: int
    prompt_tokens: int
    completion_tokens: int
    execution_time: float | None
    cost: float | None
    provider_cost: float | None
    reused_tokens: int = Field(
        description="Tokens of calls whose answers were taken over from the job that this one "
        "retries. They are not part of `total_tokens`: they are not charged again."
    )
    reused_cost: float | None = Field(
        description="What those calls cost then, in USD; null without any or without a known price. Not part of `cost`."
    )


class AttemptBody(Wire):
    """One attempt of one agent call; `unknown` when it may or may not have had its effect."""

    number: int
    status: str
    started_at: Timestamp | None
    completed_at: Timestamp | None
    error: JobError | None


class CallBody(Wire):
    """One agent call; `duration` is seconds, `cost` USD. `call` counts the calls of one step and agent from 1."""

    step: str
    agent: str
    call: int
    title: str
    status: str
    attempts: list[AttemptBody]
    tokens: int
    cost: float | None
    duration: float | None
    model: str | None
    error: JobError | None
    reused: bool = Field(description="Whether the call was not made again: its answer is an earlier job's.")
    reused_from: str | None = Field(
        description="The job that made the call, if another one did: times, tokens, cost and model are those of then."
    )


class ReasonBody(Wire):
    """Why an open job is where it is: a word for machines, a sentence for people."""

    code: str
    message: str
    step: str | None
    agent: str | None
    attempt: int | None
    next_attempt_at: Timestamp | None
    last_error: JobError | None


class SeenReason(Wire):
    """Why an open job was where it is when it was looked at last. What a job's detail tells is always of now."""

    code: str
    message: str
    since: Timestamp | None = Field(description="Since when it is known to be so.")
    seen_at: Timestamp | None = Field(description="When that was seen last; null for what is seen in the list itself.")


class JobDetail(Target):
    """A job in full (D-051). `status` is one of five words (D-049), `state` the exact one."""

    job_id: str
    type: str
    name: str
    status: str
    state: str
    reason: ReasonBody | None
    progress: int
    input: dict[str, Any]
    config: dict[str, Any]
    output: dict[str, Any] | None
    error: JobError | None
    metrics: Metrics
    steps: list[CallBody]
    retry_of: str | None = Field(description="The job that this one is to finish.")
    retried_by: list[str] | None = Field(
        description="Jobs that were started to finish this one, oldest first; null while the index does not answer."
    )
    webhook_url: str | None
    created_at: Timestamp
    started_at: Timestamp | None
    completed_at: Timestamp | None
    cancelled_at: Timestamp | None
    run_page: str = Field(description="The page of this run in the Temporal UI.")
    links: Links


class ListedError(Wire):
    """The type of an error and the beginning of its message."""

    type: str
    message: str


class JobSummary(Target):
    """A job in the list (D-045)."""

    job_id: str
    type: str
    name: str
    owner: str
    status: str
    state: str
    progress: int
    reason: SeenReason | None = Field(
        description="Why an open job is where it is; null once it has ended, and while nobody has looked at it yet."
    )
    error: ListedError | None = Field(description="Why a job failed, in short.")
    retry_of: str | None = Field(description="The job that this one is to finish.")
    retried_by: list[str] = Field(description="Jobs that were started to finish this one, oldest first.")
    created_at: Timestamp
    started_at: Timestamp | None
    completed_at: Timestamp | None
    links: Links


class JobList(Wire):
    """One page of jobs, newest first; `total` counts all that match."""

    jobs: list[JobSummary]
    total: int
    limit: int
    offset: int


class AgentAccepted(Wire):
    """An agent's job that runs on its own (D-028). Its state is at `links.self`."""

    job_id: str
    status: str
    agent_id: str
    created_at: Timestamp
    eta_seconds: int
    webhook_url: str | None
    links: Links


class StepProgress(Wire):
    """How many steps are done (D-041)."""

    current_step: int
    total_steps: int
    percentage: int


class StepStatus(Wire):
    """One step that has begun (D-042)."""

    step: str
    status: str
    started_at: Timestamp | None = Field(default=None, exclude_if=absent)
    completed_at: Timestamp | None = Field(default=None, exclude_if=absent)


class WorkflowAccepted(Wire):
    """A workflow's job that runs on its own (D-040)."""

    job_id: str
    workflow_id: str
    status: str
    progress: StepProgress
    steps_status: list[StepStatus]
    created_at: Timestamp
    eta_seconds: int
    webhook_url: str | None
    links: Links


class AgentRetried(AgentAccepted):
    """An agent's job that was started again. `retry_of` is the job that failed."""

    retry_of: str


class WorkflowRetried(WorkflowAccepted):
    """A workflow's job that finishes the one named by `retry_of`."""

    retry_of: str
    reused_calls: int = Field(description="How many finished calls are not made again.")
    reused_tokens: int
    reused_cost: float | None = Field(description="What those calls cost then, in USD; null where no price is known.")


class Finished(Target):
    """A job that was waited for (D-026). One that failed or was cancelled says so in `status` and `error`."""

    job_id: str
    status: str
    output: dict[str, Any] | None
    error: JobError | None
    metrics: Metrics
    created_at: Timestamp
    completed_at: Timestamp | None
    links: Links


class WorkflowFinished(Finished):
    """A workflow's job that was waited for, with the fields of its asynchronous answer."""

    progress: StepProgress
    steps_status: list[StepStatus]
    eta_seconds: int = 0


class Cancelled(Wire):
    """What became of a cancellation (D-052): `done`, or requested and not yet in force."""

    job_id: str
    status: str
    state: str
    done: bool
    cancelled_at: Timestamp | None
    reason: ReasonBody | None
    links: Links


class Controlled(Wire):
    """What became of a control: `done`, or requested and not yet in force."""

    job_id: str
    status: str
    state: str
    done: bool
    reason: ReasonBody | None
    links: Links


class EventBody(Wire):
    """One event (D-062, D-063). `id` is the cursor from which a reader can go on; `name` says exactly what happened."""

    id: str
    type: str
    name: str
    job_id: str
    status: str
    state: str
    progress: int
    current_step: str | None
    message: str
    timestamp: Timestamp
    data: dict[str, Any]


class DeltaData(Wire):
    """Which attempt of which call the text belongs to. `index` counts from 0 within the attempt."""

    step: str
    agent: str
    call: int
    attempt: int
    index: int
    text: str


class DeltaBody(Wire):
    """Text of a running agent, in streams only. Not an event of the log: it has no `id` and is never sent again."""

    type: str
    name: str
    job_id: str
    status: str
    current_step: str
    timestamp: Timestamp
    data: DeltaData


class EventPage(Wire):
    """Events after a cursor, oldest first. `next` is the cursor to go on from, null once nothing can follow."""

    events: list[EventBody]
    next: str | None
    has_more: bool
