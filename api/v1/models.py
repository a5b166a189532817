"""Bodies of jobs in the native API (D-026 to D-028, D-040 to D-052)."""

from typing import Any, Literal

from pydantic import Field

from api.v1.output import OutputObject
from api.v1.pages import CursorPage
from api.v1.question_bodies import QuestionBody
from api.v1.wire import Links, Target, Timestamp, Wire, absent
from orchestrator.domain.events import EventName, EventType
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import AttemptStatus, CallStatus, JobError, JobState, JobStatus, ReasonCode, ToolStatus


class Metrics(Wire):
    """Usage of a job so far. Costs are USD, null without a known price. `execution_time` is seconds, after the end."""

    total_tokens: int
    prompt_tokens: int
    completion_tokens: int
    execution_time: float | None
    cost: float | None
    provider_cost: float | None
    reused_tokens: int = Field(
        description="Tokens of calls whose answers this job reuses from the job that it retries. They are not charged "
        "again and not part of `total_tokens`."
    )
    reused_cost: float | None = Field(
        description="Cost of the reused calls in USD. Null without reused calls or a known price. Not part of `cost`."
    )


class AttemptBody(Wire):
    """One attempt of one agent call. Status `unknown`: it may or may not have had its effect."""

    number: int
    status: AttemptStatus
    started_at: Timestamp | None
    completed_at: Timestamp | None
    error: JobError | None


class ToolCallBody(Wire):
    """One tool call of an agent. `id` is the turn and the place in it; `effect_id` is the same on each attempt."""

    id: str
    turn: int
    tool: str
    status: ToolStatus
    arguments: str = Field(description="The beginning of the arguments.")
    attempts: int
    effect_id: str
    started_at: Timestamp | None
    completed_at: Timestamp | None
    result: str | None = Field(description="The beginning of the result.")
    bytes: int | None = Field(description="Size of the whole result.")
    error: JobError | None
    calls: str | None = Field(description="If another agent is the tool: the key of the call of that agent.")
    answered_by: str | None = Field(description="The person who approved, refused or answered.")


class CallBody(Wire):
    """One agent call. `duration` is seconds, `cost` is USD. `call` counts the calls of one step and agent from 1."""

    step: str
    agent: str
    call: int
    key: str = Field(description="The item and the round of the call, such as `alpha` or `2/alpha`; else empty.")
    title: str
    status: CallStatus
    why: str | None = Field(description="Why the call was skipped, if the plan decided so.")
    attempts: list[AttemptBody]
    tokens: int
    cost: float | None
    duration: float | None
    model: str | None
    error: JobError | None
    reused: bool = Field(description="True if the answer comes from an earlier job and the call was not made again.")
    reused_from: str | None = Field(
        description="The earlier job that made the call. Times, tokens, cost and model are of that call."
    )
    child: str | None = Field(
        description="The child job that the step runs. `agent` is then its workflow; tokens and cost are its own."
    )
    turns: int = Field(description="Requests to the model so far, if the agent has tools; else 0.")
    max_turns: int | None
    tool_calls: list[ToolCallBody]


class ReasonBody(Wire):
    """The reason of an open job's state: a code for programs, a message for people."""

    code: ReasonCode
    message: str
    step: str | None
    agent: str | None
    attempt: int | None
    next_attempt_at: Timestamp | None
    last_error: JobError | None
    question: str | None = Field(
        default=None, exclude_if=absent, description="The question that waits for a person: `step` of an answer."
    )
    input_schema: dict[str, Any] | None = Field(
        default=None, exclude_if=absent, description="JSON Schema of the `values` of the answer."
    )
    deadline: Timestamp | None = Field(default=None, exclude_if=absent, description="The end of the wait for a person.")


class SeenReason(Wire):
    """The last recorded reason of an open job's state. The detail of a job has the current reason."""

    code: ReasonCode
    message: str
    since: Timestamp | None = Field(description="When this reason was recorded first.")
    seen_at: Timestamp | None = Field(
        description="When this reason was recorded last; null if the list itself determined it."
    )


class JobDetail(Target):
    """A job in full (D-051). `status` is one of five words (D-049), `state` the exact state."""

    job_id: str
    type: JobKind
    name: str
    status: JobStatus
    state: JobState
    reason: ReasonBody | None
    progress: int | None = Field(description="Percent; null while not all calls of the job are known.")
    calls_done: int = Field(description="Calls that have ended, skipped ones included.")
    calls_running: int = Field(description="Calls that run, or wait for a worker or a retry.")
    calls_known: int = Field(
        description="Calls that are known, or that workflow code announced. Items and rounds add theirs when decided."
    )
    input: dict[str, Any]
    config: dict[str, Any]
    output: OutputObject | None
    error: JobError | None
    metrics: Metrics
    steps: list[CallBody]
    questions: list[QuestionBody] = Field(description="Questions to people, oldest first.")
    labels: dict[str, str] = Field(description="Your own labels, and those of the surface that started the job.")
    children: list[str] = Field(description="The jobs that this job started as its children, in order.")
    retry_of: str | None = Field(description="The job that this job retries.")
    retried_by: list[str] | None = Field(
        description="Retries of this job, oldest first; null while the job index does not answer."
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
    type: JobKind
    name: str
    owner: str
    status: JobStatus
    state: JobState
    progress: int | None = Field(description="Percent; null while not all calls of the job are known.")
    reason: SeenReason | None = Field(
        description="The reason of an open job's state; null after the end, and before a reason is recorded."
    )
    error: ListedError | None = Field(description="Why the job failed, in short.")
    retry_of: str | None = Field(description="The job that this job retries.")
    retried_by: list[str] = Field(description="Retries of this job, oldest first.")
    created_at: Timestamp
    started_at: Timestamp | None
    completed_at: Timestamp | None
    links: Links


class JobList(CursorPage):
    """One page of jobs, newest first. `total` counts matching jobs, at most 1000 beyond `offset`."""

    jobs: list[JobSummary]
    total: int
    limit: int
    offset: int


class AgentAccepted(Wire):
    """An agent's job that was accepted (D-028). Its state is at `links.self`."""

    job_id: str
    status: JobStatus
    agent_id: str
    created_at: Timestamp
    eta_seconds: int
    webhook_url: str | None
    links: Links


class StepProgress(Wire):
    """Completed steps of a workflow (D-041)."""

    current_step: int
    total_steps: int
    percentage: int


class StepStatus(Wire):
    """One step that has started (D-042)."""

    step: str
    status: JobStatus
    started_at: Timestamp | None = Field(default=None, exclude_if=absent)
    completed_at: Timestamp | None = Field(default=None, exclude_if=absent)


class WorkflowAccepted(Wire):
    """A workflow's job that was accepted (D-040)."""

    job_id: str
    workflow_id: str
    status: JobStatus
    progress: StepProgress
    steps_status: list[StepStatus]
    created_at: Timestamp
    eta_seconds: int
    webhook_url: str | None
    links: Links


class AgentRetried(AgentAccepted):
    """A retry of an agent's job. `retry_of` is the job that failed."""

    type: Literal[JobKind.AGENT] = JobKind.AGENT
    retry_of: str


class WorkflowRetried(WorkflowAccepted):
    """A retry of a workflow's job. `retry_of` is the job that failed."""

    type: Literal[JobKind.WORKFLOW] = JobKind.WORKFLOW
    retry_of: str
    reused_calls: int = Field(description="Number of finished calls that are not made again.")
    reused_tokens: int
    reused_cost: float | None = Field(description="Cost of the reused calls in USD; null without a known price.")


class Finished(Target):
    """A job that has ended (D-026). If it failed or was cancelled, `status` and `error` say so."""

    job_id: str
    status: JobStatus
    output: OutputObject | None
    error: JobError | None
    metrics: Metrics
    created_at: Timestamp
    completed_at: Timestamp | None
    links: Links


class WorkflowFinished(Finished):
    """A workflow's job that has ended, with the fields of the asynchronous answer."""

    progress: StepProgress
    steps_status: list[StepStatus]
    eta_seconds: int = 0


class Cancelled(Wire):
    """Result of a cancellation (D-052). `done` is false while it is requested and not yet in force."""

    job_id: str
    status: JobStatus
    state: JobState
    done: bool
    cancelled_at: Timestamp | None
    reason: ReasonBody | None
    links: Links


class Controlled(Wire):
    """Result of a control. `done` is false while it is requested and not yet in force."""

    job_id: str
    status: JobStatus
    state: JobState
    done: bool
    reason: ReasonBody | None
    links: Links


class EventBody(Wire):
    """One event (D-062, D-063). `id` is the cursor for `after`; `name` is the exact event."""

    id: str
    type: EventType
    name: EventName | str = Field(description="Workflows written in code may have other names, such as `signal.NAME`.")
    job_id: str
    status: JobStatus
    state: JobState
    progress: int | None = Field(description="Percent; null while not all calls of the job are known.")
    current_step: str | None
    message: str
    timestamp: Timestamp
    data: dict[str, Any]


class DeltaData(Wire):
    """The attempt and call that the text belongs to. `index` counts from 0 within the attempt."""

    step: str
    agent: str
    call: int
    key: str = ""
    attempt: int
    index: int
    text: str


class DeltaBody(Wire):
    """Text of a running agent, in streams only. It is not an event: it has no `id` and is never sent again."""

    type: Literal[EventType.AGENT_EVENT]
    name: Literal["agent.delta", "agent.reset"]
    job_id: str
    status: JobStatus
    current_step: str
    timestamp: Timestamp
    data: DeltaData


class EventPage(Wire):
    """Events after a cursor, oldest first. `next` is the cursor of the next page, null if no event can follow."""

    events: list[EventBody]
    next: str | None
    has_more: bool
