"""Bodies of the dashboard and of health, exactly as documented (O-042, O-045, O-046)."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from api.dialects.agentorchestra.models import Absent, Execution, Wire

CheckStatus = Literal["pass", "warn", "fail"]


class Trend(Wire):
    """A number, its change in percent against the period before, and the way it went."""

    value: int
    change: float
    trend: Literal["up", "down"]


class Change(Wire):
    """A number, and by how much it changed against the period before."""

    value: int
    change: int


class Overview(Wire):
    """What there is, against the period before."""

    active_agents: Trend
    frameworks: Change
    executions: Trend
    saved_configs: Change


class Charts(Wire):
    """What there was, day by day, by framework, and how it fared."""

    execution_trends: list[dict[str, Any]]
    framework_distribution: list[dict[str, Any]]
    performance: dict[str, Any]


class DashboardMetrics(Wire):
    """The dashboard of one caller (O-042)."""

    overview: Overview
    charts: Charts
    recent_activity: list[Execution]


class HealthCheck(Wire):
    """One part. `response_time` is milliseconds; a part that was not asked has none."""

    status: CheckStatus
    response_time: float | Absent = None
    message: str
    details: dict[str, Any] | Absent = None


class HealthChecks(Wire):
    """Every part (O-045)."""

    database: HealthCheck
    redis: HealthCheck
    queues: HealthCheck
    email: HealthCheck
    storage: HealthCheck
    external_apis: HealthCheck = Field(alias="external_apis")


class HealthStatus(Wire):
    """How the installation fares. `uptime` is milliseconds of this process."""

    status: Literal["healthy", "degraded", "unhealthy"]
    timestamp: datetime
    version: str
    uptime: int
    checks: HealthChecks
    metrics: dict[str, Any]
