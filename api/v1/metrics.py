"""Routes of metrics (D-054 to D-057)."""

from collections.abc import Mapping
from datetime import date

from fastapi import APIRouter
from pydantic import Field

from api.deps import Svc
from api.security import MetricsRead
from api.v1.envelope import ERRORS, NOT_FOUND, V1Route
from api.v1.wire import Wire
from orchestrator.domain.metrics import AgentMetrics, Day, ExecutionCounts, Overview, Period

router = APIRouter(prefix="/v1/metrics", tags=["metrics"], route_class=V1Route, responses=ERRORS)

_COST = Field(description="USD. Null if tokens were used and no price is known.")


class Summary(Wire):
    """Ended jobs; tokens and cost of ended attempts. Rates are percent, times are seconds."""

    total_jobs: int = Field(description="Completed and failed jobs.")
    completed_jobs: int
    failed_jobs: int = Field(description="Includes timed-out jobs, not cancelled ones.")
    success_rate: float
    total_tokens: int
    total_cost: float | None = _COST
    avg_execution_time: float = Field(description="Of completed jobs.")


class Averages(Wire):
    """Averages of the executions of one agent or workflow."""

    executions: int
    avg_tokens: int
    avg_time: float = Field(description="Seconds of a successful execution.")
    success_rate: float


class MetricsBody(Wire):
    """Metrics of the last 24 hours (D-054). They count what ended in this period."""

    period: str = "last_24h"
    summary: Summary
    by_agent: dict[str, Averages] = Field(description="By agent id; an execution is an attempt of a call.")
    by_workflow: dict[str, Averages] = Field(description="By workflow id; an execution is a job.")


class AgentFigures(Wire):
    """Attempts of one agent. Times are seconds of successful attempts; percentiles are nearest-rank."""

    total_executions: int
    successful: int
    failed: int
    success_rate: float
    total_tokens: int
    avg_tokens_per_execution: int
    total_cost: float | None = _COST
    avg_cost_per_execution: float | None = _COST
    avg_execution_time: float
    p50_execution_time: float
    p95_execution_time: float
    p99_execution_time: float


class TimelineDay(Wire):
    """One UTC day."""

    date: date
    executions: int
    tokens: int
    cost: float | None = _COST


class AgentMetricsBody(Wire):
    """One agent over a period (D-056)."""

    agent_id: str
    period: Period
    metrics: AgentFigures
    timeline: list[TimelineDay] = Field(description="Every UTC day of the period, including empty days.")


@router.get("")
async def get_metrics(principal: MetricsRead, services: Svc) -> MetricsBody:
    """Metrics of the caller's jobs in the last 24 hours; for an admin of all owners."""
    return metrics_body(await services.metrics.overview(principal))


@router.get("/agents/{agent_id}", responses=NOT_FOUND)
async def get_agent_metrics(
    agent_id: str, principal: MetricsRead, services: Svc, period: Period = Period.DAY
) -> AgentMetricsBody:
    """Metrics of one agent over a period, in the caller's jobs; for an admin in the jobs of all owners."""
    return agent_metrics_body(await services.metrics.agent(principal, agent_id, period), period)


def metrics_body(overview: Overview) -> MetricsBody:
    """Return the body of the overview."""
    jobs = overview.jobs
    return MetricsBody(
        summary=Summary(
            total_jobs=jobs.total,
            completed_jobs=jobs.successful,
            failed_jobs=jobs.failed,
            success_rate=jobs.success_rate,
            total_tokens=jobs.tokens,
            total_cost=_usd(jobs.cost),
            avg_execution_time=_seconds(jobs.mean_seconds),
        ),
        by_agent=_averages(overview.agents),
        by_workflow=_averages(overview.workflows),
    )


def agent_metrics_body(agent: AgentMetrics, period: Period) -> AgentMetricsBody:
    """Return the body of one agent's metrics."""
    executions, ranks = agent.executions, agent.percentiles
    return AgentMetricsBody(
        agent_id=agent.agent_id,
        period=period,
        metrics=AgentFigures(
            total_executions=executions.total,
            successful=executions.successful,
            failed=executions.failed,
            success_rate=executions.success_rate,
            total_tokens=executions.tokens,
            avg_tokens_per_execution=executions.mean_tokens,
            total_cost=_usd(executions.cost),
            avg_cost_per_execution=_usd(executions.mean_cost),
            avg_execution_time=_seconds(executions.mean_seconds),
            p50_execution_time=_seconds(ranks.p50),
            p95_execution_time=_seconds(ranks.p95),
            p99_execution_time=_seconds(ranks.p99),
        ),
        timeline=[_day(day) for day in agent.days],
    )


def _averages(counts: Mapping[str, ExecutionCounts]) -> dict[str, Averages]:
    return {
        name: Averages(
            executions=each.total,
            avg_tokens=each.mean_tokens,
            avg_time=_seconds(each.mean_seconds),
            success_rate=each.success_rate,
        )
        for name, each in counts.items()
    }


def _day(day: Day) -> TimelineDay:
    counts = day.executions
    return TimelineDay(date=day.date, executions=counts.total, tokens=counts.tokens, cost=_usd(counts.cost))


def _seconds(value: float) -> float:
    return round(value, 3)


def _usd(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
