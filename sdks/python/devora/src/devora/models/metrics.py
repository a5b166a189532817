"""Metrics of jobs and agents."""

from __future__ import annotations

from datetime import date

from devora._model import Model


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
    """Metrics of the jobs of one agent or workflow."""

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
