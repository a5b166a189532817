"""Orchestration: health, metrics, decisions, partnerships, status, configuration, readiness (S-012 to S-020, S-035)."""

from typing import Final

from fastapi import APIRouter, Depends, Request, Response

from api.audit_trail import Confidential
from api.deps import Svc, waiting
from api.dialects.devskyy import auth, mapping
from api.dialects.devskyy.errors import ERRORS, DevSkyyRoute
from api.dialects.devskyy.guards import ANY_ROLE, Caller, counted_by_address, guarded
from api.dialects.devskyy.models import (
    ConfigResponse,
    DecisionRequest,
    DecisionResponse,
    DeploymentReadiness,
    EndpointList,
    HealthResponse,
    MetricsResponse,
    PartnershipStatus,
    SystemStatus,
)
from orchestrator.domain.access import Principal, Role
from orchestrator.domain.errors import Unavailable
from orchestrator.domain.labels import JobLabel
from orchestrator.services.container import Services
from orchestrator.services.jobs.reader import JobFilter, JobPage

router = APIRouter(prefix="/api/v1/orchestration", tags=["orchestration"], route_class=DevSkyyRoute, responses=ERRORS)

VERSION: Final = "1.0.0"
_LATEST: Final = JobFilter(limit=10)


@router.get("/health", **guarded(*ANY_ROLE, target_ms=50))
async def health(principal: Caller, services: Svc) -> HealthResponse:
    """Health of the system and of every partnership; 503 while Temporal or the database does not answer."""
    return mapping.health(await services.partnerships.report(principal))


@router.get("/metrics", **guarded(*ANY_ROLE, target_ms=100))
async def metrics(principal: Caller, services: Svc) -> list[MetricsResponse]:
    """Performance of every partnership over the last 24 hours."""
    return mapping.metrics(await services.partnerships.report(principal))


@router.post("/decisions", **guarded(*ANY_ROLE, target_ms=500))
async def decisions(
    body: DecisionRequest, principal: Caller, services: Svc, request: Request, response: Response
) -> DecisionResponse:
    """A strategic decision on a context. `X-Job-Id` is the id of its job. 503 if it is slow; the job continues."""
    with waiting(request, principal):
        decided = await services.decisions.decide(principal, body.context, {JobLabel.SURFACE: mapping.SURFACE})
    response.headers["X-Job-Id"] = decided.job_id
    return mapping.decision(decided)


@router.get("/partnerships", **guarded(*ANY_ROLE, target_ms=200))
async def partnerships(principal: Caller, services: Svc) -> list[PartnershipStatus]:
    """Status and progress of every partnership over the last 24 hours."""
    return mapping.partnerships(await services.partnerships.report(principal))


@router.get("/status", **guarded(*ANY_ROLE))
async def status(principal: Caller, services: Svc) -> SystemStatus:
    """Components of the installation, resources of this process, and the latest jobs that the caller may see."""
    needed, further = await services.readiness.checks(), await services.readiness.further()
    return mapping.status(needed, further, services.resources.read(), await _latest(services, principal))


@router.get("/config", **guarded(Role.ADMIN))
async def config(_: Confidential, services: Svc) -> ConfigResponse:
    """The configuration without secrets; role `admin` only."""
    return ConfigResponse(**services.deployment.configuration())


@router.get("/deployment/readiness", **guarded(*ANY_ROLE))
async def deployment_readiness(_: Confidential, request: Request, services: Svc) -> DeploymentReadiness:
    """Whether this deployment is ready for production, and what to do if not."""
    return mapping.readiness(await services.deployment.report(encrypted=request.url.scheme == "https"))


@router.get("/docs/endpoints", dependencies=[Depends(counted_by_address)])
async def endpoints() -> EndpointList:
    """All operations of this surface."""
    return EndpointList(version=VERSION, endpoints=mapping.endpoints([*auth.router.routes, *router.routes]))


async def _latest(services: Services, principal: Principal) -> JobPage | None:
    try:
        return await services.reader.list(principal, _LATEST)
    except Unavailable:  # the checks of the answer report it
        return None
