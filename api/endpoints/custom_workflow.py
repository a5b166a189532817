"""`POST /custom/execute`: a workflow with advanced options (M-021 to M-023)."""

from datetime import timedelta

from fastapi import APIRouter

from api.deps import Svc
from api.dialects.orchestrator import sessions
from api.dialects.orchestrator.errors import OrchestratorRoute
from api.dialects.orchestrator.models import CustomWorkflowRequest, CustomWorkflowResponse, ErrorResponse
from api.security import OPTIONAL_KEY
from orchestrator.domain.ids import JobKind

router = APIRouter(
    prefix="/custom",
    tags=["custom-workflows"],
    route_class=OrchestratorRoute,
    responses={"default": {"model": ErrorResponse, "description": "Any error"}, 422: {"model": ErrorResponse}},
)


@router.post("/execute", openapi_extra=OPTIONAL_KEY)
async def execute_custom_workflow(
    request: CustomWorkflowRequest, services: Svc, principal: sessions.SessionStarter
) -> CustomWorkflowResponse:
    """Start a workflow with advanced options."""
    session_id, started = await sessions.start(services, principal, request)
    seconds = await services.catalogue.eta_seconds(JobKind.WORKFLOW, started.definition)
    return CustomWorkflowResponse(
        session_id=session_id,
        status="queued",
        message="Workflow queued for execution",
        created_at=started.created_at,
        estimated_completion=started.created_at + timedelta(seconds=seconds),
    )
