"""Jobs, their results and their events."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from devora._model import Model

ENDED = ("completed", "failed", "cancelled")
"""The values of `status` of ended jobs."""


class Links(Model):
    """Paths of a job, relative to the server."""

    self: str
    events: str
    output: str
    cancel: str


class JobError(Model):
    """Why a job, a call or an attempt failed. `type` is a code for programs."""

    type: str
    message: str
    step: str | None
    agent: str | None
    retryable: bool


class Metrics(Model):
    """What a job has used. A cost is None where no price is known."""

    total_tokens: int
    prompt_tokens: int
    completion_tokens: int
    execution_time: float | None
    cost: float | None
    provider_cost: float | None
    reused_tokens: int
    reused_cost: float | None


class Deliverable(Model):
    """A file that a job made."""

    path: str
    media_type: str
    content: str
    step: str | None
    agent: str | None
    artifact: str | None


class Output(Model):
    """The output of a job. `str(output)` is its text."""

    status: str
    output: str
    deliverables: list[Deliverable]
    metadata: dict[str, Any]

    def __str__(self) -> str:
        return self.output or ""


class Result(Model):
    """A completed job."""

    job_id: str
    agent_id: str | None
    workflow_id: str | None
    status: str
    output: Output
    error: JobError | None
    metrics: Metrics
    created_at: datetime
    completed_at: datetime | None
    links: Links

    @property
    def deliverables(self) -> list[Deliverable]:
        """The files that the job made."""
        return self.output.deliverables or [] if self.output else []


class Attempt(Model):
    """One attempt of a call. `unknown` may or may not have had its effect."""

    number: int
    status: str
    started_at: datetime | None
    completed_at: datetime | None
    error: JobError | None


class ToolCall(Model):
    """One call of a tool by an agent. `arguments` and `result` are beginnings, `bytes` is the size of the result."""

    id: str
    turn: int
    tool: str
    status: str
    arguments: str
    attempts: int
    effect_id: str
    started_at: datetime | None
    completed_at: datetime | None
    result: str | None
    bytes: int | None
    error: JobError | None
    calls: str | None
    answered_by: str | None


class Step(Model):
    """One call of an agent. `call` counts the calls of one step and agent, from 1.

    `child` is the job that the step runs, if it runs one; `turns` counts the requests of an agent with tools.
    """

    step: str
    agent: str
    call: int
    title: str
    status: str
    attempts: list[Attempt]
    tokens: int
    cost: float | None
    duration: float | None
    model: str | None
    error: JobError | None
    reused: bool
    reused_from: str | None
    child: str | None
    turns: int
    max_turns: int | None
    tool_calls: list[ToolCall]
    key: str
    why: str | None


class Answer(Model):
    """The answer to a question. `how` is `default` or `skipped` if nobody answered in time."""

    values: dict[str, Any]
    actor: str
    note: str
    at: datetime
    how: str


class Question(Model):
    """A question of a job to a person. `id` names it in an answer, whose values match `input_schema`."""

    id: str
    kind: str
    status: str
    step: str
    agent: str | None
    message: str
    input_schema: dict[str, Any]
    details: Any
    by: list[str]
    on_timeout: str
    asked_at: datetime | None
    deadline: datetime | None
    ended_at: datetime | None
    answer: Answer | None


class QuestionList(Model):
    """The questions of a job, oldest first."""

    questions: list[Question]


class Reason(Model):
    """Why an open job is in its state. `question` is the question that waits for a person."""

    code: str
    message: str
    step: str | None
    agent: str | None
    attempt: int | None
    next_attempt_at: datetime | None
    last_error: JobError | None
    question: str | None
    input_schema: dict[str, Any] | None
    deadline: datetime | None


class JobDetail(Model):
    """A job in full. `status` is one of five words, `state` the exact one, `progress` is percent: None while not all
    calls of the job are known."""

    job_id: str
    agent_id: str | None
    workflow_id: str | None
    type: str
    name: str
    status: str
    state: str
    reason: Reason | None
    progress: int | None
    calls_done: int
    calls_running: int
    calls_known: int
    input: dict[str, Any]
    config: dict[str, Any]
    output: Output | None
    error: JobError | None
    metrics: Metrics
    steps: list[Step]
    labels: dict[str, str]
    retry_of: str | None
    retried_by: list[str] | None
    children: list[str]
    questions: list[Question]
    webhook_url: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    cancelled_at: datetime | None
    run_page: str
    links: Links

    @property
    def ended(self) -> bool:
        """Whether the job has ended."""
        return self.status in ENDED


class ReasonInList(Model):
    """Why an open job was in its state when it was last read."""

    code: str
    message: str
    since: datetime | None
    seen_at: datetime | None


class ErrorInList(Model):
    """Why a job failed, in short."""

    type: str
    message: str


class JobSummary(Model):
    """A job in the list."""

    job_id: str
    agent_id: str | None
    workflow_id: str | None
    type: str
    name: str
    owner: str
    status: str
    state: str
    progress: int | None
    reason: ReasonInList | None
    error: ErrorInList | None
    retry_of: str | None
    retried_by: list[str]
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    links: Links


class StepProgress(Model):
    """Number of completed steps."""

    current_step: int
    total_steps: int
    percentage: int


class StepStatus(Model):
    """One step that has begun."""

    step: str
    status: str
    started_at: datetime | None
    completed_at: datetime | None


class Accepted(Model):
    """A job that was started and continues."""

    job_id: str
    agent_id: str | None
    workflow_id: str | None
    status: str
    progress: StepProgress | None
    steps_status: list[StepStatus] | None
    created_at: datetime
    eta_seconds: int
    webhook_url: str | None
    links: Links
    type: str | None
    retry_of: str | None
    reused_calls: int | None
    reused_tokens: int | None
    reused_cost: float | None


class Controlled(Model):
    """The outcome of a control. `done` is False while it is durable and not yet in force."""

    job_id: str
    status: str
    state: str
    done: bool
    cancelled_at: datetime | None
    reason: Reason | None
    links: Links


class AnswerResult(Model):
    """An answer that the job has."""

    job_id: str
    status: str
    state: str
    question: Question
    links: Links


class Event(Model):
    """One event of a job. `id` is the cursor to continue from; the pieces of text of running agents have none.

    `name` says exactly what happened, `type` is one of six kinds. The text of a running agent is named `agent.delta`,
    with its piece in `data["text"]`; `agent.reset` voids the pieces of that call so far.
    """

    id: str | None
    type: str
    name: str
    job_id: str
    status: str
    state: str | None
    progress: int | None
    current_step: str | None
    message: str | None
    timestamp: datetime
    data: dict[str, Any]

    @property
    def ends(self) -> bool:
        """Whether the job has ended."""
        return self.type in ("job_completed", "job_failed")


class EventPage(Model):
    """Events after a cursor, oldest first. `next` is None once nothing can follow."""

    events: list[Event]
    next: str | None
    has_more: bool
