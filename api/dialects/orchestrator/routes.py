"""Routes of sessions: start by type, read, list the types (M-009 to M-018, M-035, M-038, M-039)."""

from typing import Annotated

from fastapi import APIRouter, Depends

from api.deps import Svc
from api.dialects.orchestrator import mapping, sessions
from api.dialects.orchestrator.cache import APICache
from api.dialects.orchestrator.errors import OrchestratorRoute
from api.dialects.orchestrator.models import (
    ErrorResponse,
    WorkflowAccepted,
    WorkflowProgressResponse,
    WorkflowRequest,
    WorkflowRequestV2,
    WorkflowTypes,
)
from api.security import OPTIONAL_KEY, identified
from orchestrator.domain.access import Principal, Scope

router = APIRouter(
    tags=["sessions"],
    route_class=OrchestratorRoute,
    responses={"default": {"model": ErrorResponse, "description": "Any error"}, 422: {"model": ErrorResponse}},
)
_cache = APICache()


@router.post("/execute-workflow", openapi_extra=OPTIONAL_KEY)
async def execute_workflow(
    request: WorkflowRequest, services: Svc, principal: sessions.SessionStarter
) -> WorkflowAccepted:
    """Start a workflow by its type. Public sessions need no credential."""
    return await _accepted(request, services, principal)


@router.post("/api/v1/execute-workflow", openapi_extra=OPTIONAL_KEY)
async def execute_workflow_v1(
    request: WorkflowRequest, services: Svc, principal: sessions.SessionStarter
) -> WorkflowAccepted:
    """Start a workflow by its type, version 1."""
    return await _accepted(request, services, principal)


@router.post("/api/v2/execute-workflow", openapi_extra=OPTIONAL_KEY)
async def execute_workflow_v2(
    request: WorkflowRequestV2, services: Svc, principal: sessions.SessionStarter
) -> WorkflowAccepted:
    """Start a workflow by its type, version 2: `webhook_url` receives its end."""
    return await _accepted(request, services, principal)


@router.post("/protected/execute-workflow")
async def protected_execute(
    request: WorkflowRequest, services: Svc, principal: Annotated[Principal, Depends(identified)]
) -> WorkflowAccepted:
    """Start a workflow by its type. The signed-in user owns the session."""
    principal.require(Scope.WORKFLOWS_RUN)
    return await _accepted(request, services, principal)


@router.get("/workflow-status/{session_id}", openapi_extra=OPTIONAL_KEY)
async def workflow_status(
    session_id: str, services: Svc, principal: sessions.SessionReader
) -> WorkflowProgressResponse:
    """State, progress and results of a session."""
    return await sessions.progress(services, principal, session_id)


@router.get("/workflow-types")
async def workflow_types(services: Svc) -> WorkflowTypes:
    """All workflow types. The answer is cached for five minutes."""
    key = _cache.get_key("workflow-types", {})
    if (cached := await _cache.get(key)) is not None:
        return WorkflowTypes.model_validate(cached)
    types = WorkflowTypes(workflow_types=mapping.workflow_types(services.catalogue.workflows()))
    await _cache.set(key, types.model_dump())
    return types


async def _accepted(request: WorkflowRequest, services: Svc, principal: Principal) -> WorkflowAccepted:
    session_id, started = await sessions.start(services, principal, request)
    return WorkflowAccepted(session_id=session_id, workflow_type=request.workflow_type, created_at=started.created_at)
