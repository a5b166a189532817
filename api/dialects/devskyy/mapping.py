"""Pure mapping from the measurements of the services to the bodies of this surface (C-04, C-05)."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Final, Literal

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from api.dialects.devskyy.models import (
    Activity,
    ComponentHealth,
    DecisionResponse,
    DeliverableProgress,
    DeploymentCheck,
    DeploymentReadiness,
    Endpoint,
    HealthResponse,
    MetricsResponse,
    PartnershipHealth,
    PartnershipMetrics,
    PartnershipStatus,
    ResourceFigures,
    SystemStatus,
)
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.findings import Finding
from orchestrator.services.jobs.decisions import Decided
from orchestrator.services.jobs.reader import JobPage
from orchestrator.services.reports.deployment import DeploymentReport
from orchestrator.services.reports.partnerships import PartnershipReport
from orchestrator.services.reports.resources import ResourceUsage

SURFACE: Final = "devskyy"
_WORKER: Final = "worker"


def health(report: PartnershipReport) -> HealthResponse:
    """Return the health of the whole system. Raises `Unavailable` while Temporal or the database does not answer."""
    down = [
        f"{finding.check}: {finding.message}"
        for finding in report.checks
        if not finding.ok and finding.check != _WORKER
    ]
    if down:
        raise Unavailable("; ".join(down))
    return HealthResponse(
        status="healthy" if report.ready else "degraded",
        partnerships={
            partnership.id: PartnershipHealth(health=partnership.health, score=partnership.score)
            for partnership in report.partnerships
        },
        last_updated=report.at,
    )


def metrics(report: PartnershipReport) -> list[MetricsResponse]:
    """Return the metrics of every partnership."""
    return [
        MetricsResponse(
            partnership_type=partnership.id,
            metrics=PartnershipMetrics(
                uptime=partnership.uptime,
                response_time=partnership.response_time,
                success_rate=partnership.score,
            ),
            timestamp=report.at,
        )
        for partnership in report.partnerships
    ]


def partnerships(report: PartnershipReport) -> list[PartnershipStatus]:
    """Return the progress of every partnership."""
    return [
        PartnershipStatus(
            id=partnership.id,
            name=partnership.name,
            health=partnership.health,
            progress=partnership.progress,
            deliverables=[
                DeliverableProgress(name=deliverable.name, progress=deliverable.progress)
                for deliverable in partnership.deliverables
            ],
        )
        for partnership in report.partnerships
    ]


def decision(decided: Decided) -> DecisionResponse:
    """Return a decision without the agent's free text, which is in its job."""
    return DecisionResponse.model_validate(decided.decision.model_dump())


def status(
    needed: Iterable[Finding], further: Iterable[Finding], usage: ResourceUsage, latest: JobPage | None
) -> SystemStatus:
    """Return the state of the installation. `latest` is None while the job index does not answer."""
    return SystemStatus(
        system_health={
            **{finding.check: _component(finding, "unhealthy") for finding in needed},
            **{finding.check: _component(finding, "degraded") for finding in further},
        },
        resource_usage=ResourceFigures(**asdict(usage)),
        recent_activity=None if latest is None else _activity(latest),
    )


def _component(check: Finding, when_not: Literal["degraded", "unhealthy"]) -> ComponentHealth:
    return ComponentHealth(status="healthy" if check.ok else when_not, message=check.message)


def _activity(page: JobPage) -> list[Activity]:
    return [
        Activity(
            job_id=row.id,
            kind=row.kind,
            name=row.name,
            status=row.state.lower(),
            progress=row.progress,
            created_at=row.created_at,
            completed_at=row.closed_at,
        )
        for row in page.rows
    ]


def readiness(report: DeploymentReport) -> DeploymentReadiness:
    """Return whether the deployment is ready for production."""
    return DeploymentReadiness(
        readiness_score=report.score,
        checks=[
            DeploymentCheck(name=finding.check, passed=finding.ok, message=finding.message)
            for finding in report.findings
        ],
        recommendations=report.recommendations,
    )


def endpoints(routes: Iterable[BaseRoute]) -> list[Endpoint]:
    """Return the operations of these routes, from their declarations."""
    return [
        Endpoint(
            method=method,
            path=route.path,
            summary=(route.description or route.summary or "").partition("\n")[0],
            roles=(route.openapi_extra or {}).get("x-roles", []),
            target_ms=(route.openapi_extra or {}).get("x-target-ms"),
        )
        for route in routes
        if isinstance(route, APIRoute)
        for method in sorted(route.methods or ())
    ]
