"""What the server answers, as typed objects. Times are aware datetimes, durations seconds, costs USD.

A word such as `status` is a plain string, so that one which a newer server adds passes through.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from devora._model import Model


class Health(Model):
    """Whether an agent can run now, and when that was checked."""

    healthy: bool
    last_check: datetime


class AgentSummary(Model):
    """One agent in the list. `status` is `available` or `unavailable`."""

    id: str
    name: str
    squad: str
    description: str
    capabilities: list[str]
    status: str
    health: Health | None


class AgentList(Model):
    """Every agent."""

    agents: list[AgentSummary]
    total: int
    available: int
    unavailable: int


class ModelSettings(Model):
    """Which model an agent asks, and how."""

    default_model: str
    default_temperature: float
    max_tokens: int


class Pricing(Model):
    """What an agent costs, in USD."""

    per_request: float
    per_1k_tokens: float


class AgentDetail(Model):
    """One agent; its schemas are JSON Schema."""

    id: str
    name: str
    squad: str
    description: str
    capabilities: list[str]
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    config: ModelSettings
    pricing: Pricing


class AgentHealth(Model):
    """How the last 24 hours of an agent were. Rates are percent."""

    agent_id: str
    healthy: bool
    last_execution: datetime | None
    avg_response_time: float | None
    error_rate: float
    uptime: float


class WorkflowSummary(Model):
    """One workflow in the list."""

    id: str
    name: str
    description: str
    squads: list[str]
    agents_count: int
    estimated_time: str
    estimated_cost: str
    complexity: str


class WorkflowList(Model):
    """Every workflow."""

    workflows: list[WorkflowSummary]
    total: int


class WorkflowStep(Model):
    """One step of a workflow. `approval` says whether it waits for a person."""

    order: int
    id: str
    name: str
    squad: str
    agents: list[str]
    needs: list[str]
    estimated_time: str
    approval: bool


class WorkflowDetail(Model):
    """One workflow with its steps; its schemas are JSON Schema."""

    id: str
    name: str
    description: str
    version: str
    complexity: str
    estimated_time: str
    estimated_cost: str
    steps: list[WorkflowStep]
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]


class Links(Model):
    """Where the parts of a job are, relative to the server."""

    self: str
    events: str
    output: str
    cancel: str


class JobError(Model):
    """Why a job, a call or an attempt failed. `type` is a word for machines."""

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
    """A job that has ended well."""

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


class Step(Model):
    """One call of an agent. `call` counts the calls of one step and agent, from 1."""

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


class Reason(Model):
    """Why an open job is where it is."""

    code: str
    message: str
    step: str | None
    agent: str | None
    attempt: int | None
    next_attempt_at: datetime | None
    last_error: JobError | None


class JobDetail(Model):
    """A job in full. `status` is one of five words, `state` the exact one, `progress` is percent."""

    job_id: str
    agent_id: str | None
    workflow_id: str | None
    type: str
    name: str
    status: str
    state: str
    reason: Reason | None
    progress: int
    input: dict[str, Any]
    config: dict[str, Any]
    output: Output | None
    error: JobError | None
    metrics: Metrics
    steps: list[Step]
    retry_of: str | None
    retried_by: list[str] | None
    webhook_url: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    cancelled_at: datetime | None
    run_page: str
    links: Links

    @property
    def ended(self) -> bool:
        """Whether nothing can follow."""
        return self.status in ENDED


class ReasonInList(Model):
    """Why an open job was where it was when it was looked at last."""

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
    progress: int
    reason: ReasonInList | None
    error: ErrorInList | None
    retry_of: str | None
    retried_by: list[str]
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    links: Links


class StepProgress(Model):
    """How many steps are done."""

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
    """A job that was started and goes on."""

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
    retry_of: str | None
    reused_calls: int | None
    reused_tokens: int | None
    reused_cost: float | None


class Controlled(Model):
    """What became of a control. `done` is False while it is durable and not yet in force."""

    job_id: str
    status: str
    state: str
    done: bool
    cancelled_at: datetime | None
    reason: Reason | None
    links: Links


class Event(Model):
    """One event of a job. `id` is the cursor to go on from; the pieces of text of running agents have none.

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
        """Whether nothing can follow."""
        return self.type in ("job_completed", "job_failed")


class EventPage(Model):
    """Events after a cursor, oldest first. `next` is None once nothing can follow."""

    events: list[Event]
    next: str | None
    has_more: bool


class MetricsSummary(Model):
    """Jobs that ended. Rates are percent."""

    total_jobs: int
    completed_jobs: int
    failed_jobs: int
    success_rate: float
    total_tokens: int
    total_cost: float | None
    avg_execution_time: float


class Averages(Model):
    """How the executions of one agent or workflow were."""

    executions: int
    avg_tokens: int
    avg_time: float
    success_rate: float


class MetricsOverview(Model):
    """The last 24 hours, by agent and by workflow."""

    period: str
    summary: MetricsSummary
    by_agent: dict[str, Averages]
    by_workflow: dict[str, Averages]


class AgentFigures(Model):
    """One agent's attempts over a period."""

    total_executions: int
    successful: int
    failed: int
    success_rate: float
    total_tokens: int
    avg_tokens_per_execution: int
    total_cost: float | None
    avg_cost_per_execution: float | None
    avg_execution_time: float
    p50_execution_time: float
    p95_execution_time: float
    p99_execution_time: float


class TimelineDay(Model):
    """One UTC day."""

    date: date
    executions: int
    tokens: int
    cost: float | None


class AgentMetrics(Model):
    """One agent over a period."""

    agent_id: str
    period: str
    metrics: AgentFigures
    timeline: list[TimelineDay]


class ApiKey(Model):
    """An API key, without its secret; `prefix` is how the secret begins."""

    id: str
    name: str
    scopes: list[str]
    tier: str | None
    owner: str
    created_at: datetime
    expires_at: datetime | None
    prefix: str
    state: str
    created_by: str
    last_used_at: datetime | None
    revoked_at: datetime | None


class IssuedKey(Model):
    """An API key with its secret, `api_key`, which is shown this once. `webhook_secret` signs its jobs' callbacks."""

    id: str
    name: str
    scopes: list[str]
    tier: str | None
    owner: str
    created_at: datetime
    expires_at: datetime | None
    api_key: str
    webhook_secret: str


class Me(Model):
    """The caller. A `tier` of None has no limits."""

    id: str
    key_id: str | None
    name: str | None
    scopes: list[str]
    tier: str | None
    expires_at: datetime | None


class RequestLimit(Model):
    """Requests in any minute; `reset` is a Unix time in seconds."""

    limit: int | None
    remaining: int | None
    reset: int | None


class JobLimit(Model):
    """Jobs that are open at once."""

    limit: int | None
    used: int


class TokenLimit(Model):
    """Tokens of the calendar month. Open jobs may still use those that are `reserved`."""

    limit: int | None
    used: int
    reserved: int
    reset: datetime


class Limits(Model):
    """What the caller may use, and has used. A `limit` of None does not limit."""

    tier: str | None
    requests_per_minute: RequestLimit
    concurrent_jobs: JobLimit
    monthly_tokens: TokenLimit


class Webhook(Model):
    """A webhook. `secret` is there only when the server has just made it."""

    id: str
    url: str
    events: list[str]
    active: bool
    disabled_reason: str | None
    disabled_at: datetime | None
    created_at: datetime
    updated_at: datetime
    secret: str | None
    previous_until: datetime | None


class DeliveryAttempt(Model):
    """One attempt of a delivery; `status` is the receiver's HTTP status."""

    number: int
    at: datetime
    verdict: str
    status: int | None
    error: str | None
    duration: float


class Delivery(Model):
    """One delivery. `message_id` is what the receiver sees as `webhook-id`."""

    id: str
    webhook_id: str | None
    job_id: str | None
    event: str
    url: str
    message_id: str
    state: str
    attempts: list[DeliveryAttempt]
    created_at: datetime
    next_attempt_at: datetime | None
    completed_at: datetime | None


class WebhookEvent(Model):
    """A delivery that was received and is genuine. Remember `id` to skip what comes twice."""

    id: str
    event: str
    job_id: str | None
    timestamp: datetime
    data: dict[str, Any]
    signature: str | None


class Check(Model):
    """What one part of the server said."""

    name: str
    ok: bool
    message: str


class Readiness(Model):
    """Whether the server can run jobs, part by part."""

    ready: bool
    checks: list[Check]


class User(Model):
    """A user, without the password."""

    id: str
    username: str
    roles: list[str]
    created_at: datetime


class AuditEntry(Model):
    """One call: who asked for what, from where, and with which status."""

    id: int
    at: datetime
    principal: str
    key_id: str | None
    action: str
    path: str
    status: int
    address: str | None
    request_id: str
    surface: str | None
    calls: int


ENDED = frozenset({"completed", "failed", "cancelled"})
"""The words of `status` after which nothing can follow."""
