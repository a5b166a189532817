"""What the server answers, as typed objects. Rates, scores and progress are percent."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from devora._model import Model


class Tokens(Model):
    """Tokens of a user; `expires_in` is the seconds that the access token is valid."""

    access_token: str
    refresh_token: str
    token_type: str
    expires_in: int


class PartnershipHealth(Model):
    """How one partnership is: `excellent`, `good`, `fair`, `poor` or `unknown`."""

    health: str
    score: float


class Health(Model):
    """The whole system, and every partnership by its id."""

    status: str
    partnerships: dict[str, PartnershipHealth]
    last_updated: datetime


class PartnershipFigures(Model):
    """Figures of 24 hours; `response_time` is milliseconds."""

    uptime: float
    response_time: float
    success_rate: float


class PartnershipMetrics(Model):
    """The figures of one partnership."""

    partnership_type: str
    metrics: PartnershipFigures
    timestamp: datetime


class Phase(Model):
    """One phase of a plan."""

    phase: int
    action: str
    timeline: str


class Decision(Model):
    """A decision; `decision` is a code in UPPER_SNAKE_CASE."""

    decision: str
    rationale: str
    implementation_plan: list[Phase]
    success_metrics: list[str]
    risk_mitigation: list[str]

    @property
    def job_id(self) -> str | None:
        """The job that made the decision."""
        response = self.raw_response
        return None if response is None else response.headers.get("x-job-id")


class DeliverableProgress(Model):
    """One kind of work and how much of it is done."""

    name: str
    progress: float


class Partnership(Model):
    """How far one partnership is."""

    id: str
    name: str
    health: str
    progress: float
    deliverables: list[DeliverableProgress]


class ComponentHealth(Model):
    """One part of the installation."""

    status: str
    message: str


class Activity(Model):
    """One of the latest jobs."""

    job_id: str
    kind: str
    name: str
    status: str
    progress: int
    created_at: datetime
    completed_at: datetime | None


class SystemStatus(Model):
    """The parts of the installation, what the answering process uses, and the latest jobs."""

    system_health: dict[str, ComponentHealth]
    resource_usage: dict[str, Any]
    recent_activity: list[Activity] | None


class Configuration(Model):
    """Every setting; of a secret only whether it is set."""

    settings: dict[str, Any]
    secrets_configured: dict[str, bool]


class ReadinessCheck(Model):
    """One thing that a production deployment has."""

    name: str
    passed: bool
    message: str


class DeploymentReadiness(Model):
    """The percent of checks that passed, all of them, and what to do for the others."""

    readiness_score: float
    checks: list[ReadinessCheck]
    recommendations: list[str]


class Endpoint(Model):
    """One operation of the API. Any of `roles` is enough."""

    method: str
    path: str
    summary: str
    roles: list[str]
    target_ms: int | None


class EndpointList(Model):
    """Every operation of the API."""

    version: str
    endpoints: list[Endpoint]
