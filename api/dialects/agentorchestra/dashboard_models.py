"""Bodies of the dashboard and of health, exactly as documented (O-042, O-045, O-046)."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from api.dialects.agentorchestra.models import Absent, Execution, Wire

CheckStatus = Literal["pass", "warn", "fail"]


class Trend(Wire):
    """A number, its change in percent since the period before, and the direction of the change."""

    value: int
    change: float
    trend: Literal["up", "down"]


class Change(Wire):
    """A number, and its change since the period before."""

    value: int
    change: int


class Overview(Wire):
    """Numbers of the period, compared with the period before."""

    active_agents: Trend
    frameworks: Change
    executions: Trend
    saved_configs: Change


class Charts(Wire):
    """Executions by day, by framework, and their performance."""

    execution_trends: list[dict[str, Any]]
    framework_distribution: list[dict[str, Any]]
    performance: dict[str, Any]


class DashboardMetrics(Wire):
    """The dashboard of one caller (O-042)."""

    overview: Overview
    charts: Charts
    recent_activity: list[Execution]


class HealthCheck(Wire):
    """State of one component. `response_time` is milliseconds; a component that was not checked has none."""

    status: CheckStatus
    response_time: float | Absent = None
    message: str
    details: dict[str, Any] | Absent = None


class HealthChecks(Wire):
    """State of every component (O-045)."""

    database: HealthCheck
    redis: HealthCheck
    queues: HealthCheck
    email: HealthCheck
    storage: HealthCheck
    external_apis: HealthCheck = Field(alias="external_apis")


class HealthStatus(Wire):
    """Health of the installation. `uptime` is milliseconds of this process."""

    status: Literal["healthy", "degraded", "unhealthy"]
    timestamp: datetime
    version: str
    uptime: int
    checks: HealthChecks
    metrics: dict[str, Any]
