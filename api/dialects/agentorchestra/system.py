"""Routes of the dashboard, of health and of the document (O-041 to O-045, C-04, C-08)."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response
from fastapi.security import HTTPAuthorizationCredentials

from api.deps import Svc, api_state
from api.dialects.agentorchestra import dashboard, document, health, sse
from api.dialects.agentorchestra.dashboard_models import DashboardMetrics, HealthStatus
from api.dialects.agentorchestra.errors import ERRORS, AgentOrchestraRoute
from api.dialects.agentorchestra.executions import STREAM
from api.dialects.agentorchestra.guards import MetricsRead
from api.dialects.agentorchestra.models import Timeframe
from api.figures import sees_figures
from api.security import OPTIONAL_KEY, bearer
from api.streaming import EventStream
from orchestrator.domain.errors import Unauthenticated
from orchestrator.services.user_agents.executions import ExecutionFilter

router = APIRouter(prefix="/api", route_class=AgentOrchestraRoute)

_STATES: Final[dict[int | str, dict[str, Any]]] = {503: {"model": HealthStatus, "description": "Unhealthy"}}


@router.get("/dashboard/metrics", tags=["Analytics"], responses=ERRORS, response_model_exclude_none=True)
async def dashboard_metrics(
    principal: MetricsRead, services: Svc, timeframe: Annotated[Timeframe, Query()] = "30d"
) -> DashboardMetrics:
    """The caller's metrics of a period, compared with the period before it."""
    figures = await services.executions.dashboard(principal, dashboard.LENGTHS[timeframe])
    recent = await services.executions.list(principal, ExecutionFilter(limit=dashboard.RECENT))
    return dashboard.metrics(figures, recent.rows)


@router.get("/dashboard/real-time", tags=["Analytics"], response_class=Response, responses={**ERRORS, **STREAM})
async def dashboard_stream(request: Request, principal: MetricsRead, services: Svc) -> EventStream:
    """The dashboard, and every change of the caller's executions, as a stream."""
    state = api_state(request.app)
    connection = state.connections.hold(principal)
    return EventStream(sse.dashboard_frames(services, principal), state.closing, connection=connection)


@router.get("/health", tags=["System"], responses=_STATES, response_model=HealthStatus, openapi_extra=OPTIONAL_KEY)
async def system_health(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> Response:
    """Health of the installation, without a credential. Admins and the metrics key also get `metrics`."""
    try:
        figures = await sees_figures(request, credentials)
    except Unauthenticated:  # an invalid credential of a load balancer must not make the installation look unhealthy
        figures = False
    status = await health.status(api_state(request.app).source, figures=figures)
    body = status.model_dump_json(by_alias=True, exclude_none=True)
    return Response(body, 503 if status.status == "unhealthy" else 200, media_type="application/json")


@router.get("/openapi.json", include_in_schema=False)
async def openapi() -> JSONResponse:
    """The OpenAPI document of this surface."""
    return JSONResponse(document.served())
