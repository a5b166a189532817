"""Pure mapping between this surface and jobs, users' agents and configurations (C-29, C-31, C-35, C-42)."""

from collections.abc import Sequence
from typing import Any, Final, cast

from api.dialects.agentorchestra.models import (
    Agent,
    AgentDetailed,
    AgentRef,
    Configuration,
    Count,
    CreateAgentRequest,
    Environment,
    Execution,
    ExecutionLog,
    ExecutionProgress,
    ExecutionStatus,
    LogLevel,
    Pagination,
    StartExecutionRequest,
    Trigger,
    UpdateAgentRequest,
    User,
    Webhook,
)
from orchestrator.domain import user_agents as domain
from orchestrator.domain.access import name_of
from orchestrator.domain.events import EventType, JobEvent
from orchestrator.domain.frameworks import NATIVE
from orchestrator.domain.jobs import Job, JobState
from orchestrator.domain.labels import JobLabel
from orchestrator.domain.webhooks import Webhook as StoredWebhook
from orchestrator.services.user_agents.agents import AgentRequest
from orchestrator.services.user_agents.executions import ExecutionRequest

SURFACE: Final = "agentorchestra"
_CHANGES: Final = {"is_active": "active"}

_LEVELS: Final[dict[str, LogLevel]] = {
    "agent.scheduled": "DEBUG",
    "agent.cancelled": "WARN",
    "agent.failed": "ERROR",
    "job.cancelling": "WARN",
    "job.cancelled": "WARN",
    "job.stuck": "ERROR",
    **{f"job.{state.lower()}": "FATAL" for state in JobState if state.failed},
}
# This surface has no word for a pause.
_STATUSES: Final[dict[JobState, ExecutionStatus]] = {
    JobState.PENDING: "PENDING",
    JobState.RUNNING: "RUNNING",
    JobState.PAUSED: "RUNNING",
    JobState.COMPLETED: "COMPLETED",
    JobState.FAILED: "FAILED",
    JobState.CANCELLED: "CANCELLED",
    JobState.TIMEOUT: "TIMEOUT",
}


def status_of(state: JobState) -> ExecutionStatus:
    """Return the status for a job's state. This surface has no status for a pause."""
    return _STATUSES[state]


def states_of(status: ExecutionStatus) -> list[JobState]:
    """Return the states of a status."""
    return [state for state in JobState if status_of(state) == status]


def agent_request(body: CreateAgentRequest) -> AgentRequest:
    """Return the agent that a request describes."""
    return AgentRequest(
        name=body.name,
        framework=body.framework,
        description=body.description,
        configuration=body.configuration,
        tags=list(body.tags),
        active=body.is_active,
    )


def agent_changes(body: UpdateAgentRequest) -> dict[str, Any]:
    """Return the fields that a request changes."""
    return {_CHANGES.get(name, name): value for name, value in body.model_dump(exclude_unset=True).items()}


def agent(live: domain.LiveAgent) -> Agent:
    """Return an agent with its metrics."""
    return Agent(**_agent(live))


def agent_detailed(live: domain.LiveAgent, newest: Sequence[Job]) -> AgentDetailed:
    """Return an agent with its newest executions."""
    return AgentDetailed(
        **_agent(live), executions=[execution(job) for job in newest], count=Count(executions=live.figures.total)
    )


def _agent(live: domain.LiveAgent) -> dict[str, Any]:
    own, figures = live.agent, live.figures
    return {
        "id": own.id,
        "name": own.name,
        "description": own.description,
        "framework": own.framework,
        "status": live.status,
        "configuration": own.configuration,
        "tags": own.tags,
        "is_active": own.active,
        "total_executions": figures.total,
        "successful_executions": figures.successful,
        "avg_execution_time": None if figures.mean_seconds is None else round(figures.mean_seconds * 1000, 1),
        "last_executed_at": figures.last_at,
        "created_at": own.created_at,
        "updated_at": own.updated_at,
    }


def start_request(body: StartExecutionRequest) -> ExecutionRequest:
    """Return the execution that a request starts."""
    labels: dict[str, str] = {
        JobLabel.SURFACE: SURFACE,
        JobLabel.ENVIRONMENT: body.environment,
        JobLabel.TRIGGER: body.trigger,
    }
    return ExecutionRequest(body.agent_id, body.input, body.configuration, labels)


def execution(job: Job, output: dict[str, Any] | None = None) -> Execution:
    """Return an execution. `output` is the job's whole output, if it was read."""
    return Execution(**_execution(job, output))


def progress(job: Job, event: JobEvent) -> ExecutionProgress:
    """Return an execution as it was at the time of an event."""
    then = {**_execution(job, None), "status": status_of(event.state)}
    if not event.state.terminal:
        then |= dict.fromkeys(("output", "error", "duration", "tokens_used", "cost", "completed_at"))
    if event.state is JobState.PENDING:
        then["started_at"] = None
    return ExecutionProgress(**then, progress=event.progress)


def _execution(job: Job, output: dict[str, Any] | None) -> dict[str, Any]:
    labels, result = job.labels, output if output is not None else job.result
    return {
        "id": job.id,
        "status": status_of(job.state),
        "input": job.input.get("input", {}),
        "output": None if result is None else _executed(result, labels[JobLabel.EXECUTED_BY]),
        "error": f"{job.error.type}: {job.error.message}" if job.error is not None else None,
        "duration": None if job.duration is None else round(job.duration * 1000),
        "tokens_used": _tokens_used(job),
        "cost": job.usage.cost,
        "trigger": cast("Trigger", labels[JobLabel.TRIGGER]),
        "environment": cast("Environment", labels[JobLabel.ENVIRONMENT]),
        "started_at": job.started_at,
        "completed_at": job.closed_at,
        "agent": AgentRef(id=job.subject or "", name=labels[JobLabel.AGENT_NAME], framework=_framework(job)),
    }


def _tokens_used(job: Job) -> int | None:
    """Return the tokens of an ended execution; None if it has no answer and no known usage."""
    if job.state.succeeded:
        return job.usage.total_tokens
    return job.usage.total_tokens or None if job.state.terminal else None


def _executed(result: dict[str, Any], executed_by: str) -> dict[str, Any]:
    plain = without_nulls(result)
    return {**plain, "metadata": {"executed_by": executed_by, **plain.get("metadata", {})}}


def logs(job: Job, events: Sequence[JobEvent]) -> list[ExecutionLog]:
    """Return the log of an execution, oldest line first: the fallback of its framework, then every event."""
    return [*fallback_logs(job), *(log_line(event) for event in events)]


def fallback_logs(job: Job) -> list[ExecutionLog]:
    """Return a line if an execution does not run on its agent's framework, else nothing."""
    framework, executed_by = _framework(job), job.labels[JobLabel.EXECUTED_BY]
    if executed_by == framework:
        return []
    consequence = "the native runtime performs the agent" if executed_by == NATIVE else "no fallback is allowed"
    return [
        ExecutionLog(
            id=f"{job.id}:framework",
            level="WARN",
            message=f"No worker offers the framework {framework}: {consequence}.",
            timestamp=job.created_at,
            metadata={"framework": framework, "executed_by": executed_by},
        )
    ]


def log_line(event: JobEvent) -> ExecutionLog:
    """Return the line of one event."""
    metadata = {"event": event.name, "progress": event.progress}
    data = {} if event.type is EventType.JOB_COMPLETED else without_nulls(event.data)
    return ExecutionLog(
        id=event.id,
        level=_LEVELS.get(event.name, "INFO"),
        message=event.message,
        timestamp=event.timestamp,
        metadata={**metadata, **data},
    )


def configuration(saved: domain.Configuration) -> Configuration:
    """Return the body of a saved configuration."""
    return Configuration(
        id=saved.id,
        name=saved.name,
        description=saved.description,
        framework=saved.framework,
        configuration=saved.configuration,
        is_template=saved.template,
        is_public=saved.public,
        usage_count=saved.usage_count,
        created_at=saved.created_at,
        updated_at=saved.updated_at,
        user=User(name=name_of(saved.owner)),
    )


def webhook(row: StoredWebhook) -> Webhook:
    """Return the body of a webhook, without its secret."""
    return Webhook(
        id=row.id, url=row.url, events=row.events, is_active=row.disabled_at is None, created_at=row.created_at
    )


def pagination(page: int, limit: int, total: int) -> Pagination:
    """Return the page and the number of pages, which is 0 for an empty list."""
    return Pagination(page=page, limit=limit, total=total, pages=-(-total // limit))


def without_nulls(value: Any) -> Any:
    """Return plain data without null values (O-049)."""
    if isinstance(value, dict):
        return {name: without_nulls(each) for name, each in value.items() if each is not None}
    if isinstance(value, list):
        return [without_nulls(each) for each in value if each is not None]
    return value


def _framework(job: Job) -> domain.Framework:
    return domain.Framework(job.labels[JobLabel.FRAMEWORK])
