"""Pure mapping from what the services measure to this surface's bodies (C-04, C-05)."""

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
    """The whole system. Raises `Unavailable` while a part is gone without which nothing can be answered."""
    gone = [
        f"{finding.check}: {finding.message}"
        for finding in report.checks
        if not finding.ok and finding.check != _WORKER
    ]
    if gone:
        raise Unavailable("; ".join(gone))
    return HealthResponse(
        status="healthy" if report.ready else "degraded",
        partnerships={one.id: PartnershipHealth(health=one.health, score=one.score) for one in report.partnerships},
        last_updated=report.at,
    )


def metrics(report: PartnershipReport) -> list[MetricsResponse]:
    """The figures of every partnership."""
    return [
        MetricsResponse(
            partnership_type=one.id,
            metrics=PartnershipMetrics(uptime=one.uptime, response_time=one.response_time, success_rate=one.score),
            timestamp=report.at,
        )
        for one in report.partnerships
    ]


def partnerships(report: PartnershipReport) -> list[PartnershipStatus]:
    """How far every partnership is."""
    return [
        PartnershipStatus(
            id=one.id,
            name=one.name,
            health=one.health,
            progress=one.progress,
            deliverables=[DeliverableProgress(name=each.name, progress=each.progress) for each in one.deliverables],
        )
        for one in report.partnerships
    ]


def decision(decided: Decided) -> DecisionResponse:
    """A decision without the agent's own words on it, which its job has."""
    return DecisionResponse.model_validate(decided.decision.model_dump())


def status(
    needed: Iterable[Finding], further: Iterable[Finding], usage: ResourceUsage, latest: JobPage | None
) -> SystemStatus:
    """The installation now; without the latest jobs while the index does not answer."""
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
    """Whether this can go into production."""
    return DeploymentReadiness(
        readiness_score=report.score,
        checks=[DeploymentCheck(name=one.check, passed=one.ok, message=one.message) for one in report.findings],
        recommendations=report.recommendations,
    )


def endpoints(routes: Iterable[BaseRoute]) -> list[Endpoint]:
    """The operations of these routes, as their own declarations tell them."""
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
