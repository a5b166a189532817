"""What every route of this surface does with a session: start it, look at it."""

import uuid
from typing import Final

from fastapi import Request

from api.deps import api_state
from api.dialects.orchestrator import mapping
from api.dialects.orchestrator.models import WorkflowProgressResponse, WorkflowRequest
from api.limits import address_of, count_surface_request
from api.outputs import whole_output
from orchestrator.domain.access import ORDINARY, Principal, Scope
from orchestrator.domain.errors import InvalidInput, NotFound
from orchestrator.domain.jobs import Job
from orchestrator.domain.limits import SurfaceLimit
from orchestrator.domain.plans import WorkflowDefinition
from orchestrator.services.registry import Services
from orchestrator.services.starting import Started

PUBLIC: Final = Principal(id="public", scopes=ORDINARY)
"""Who starts workflows without a credential: most routes of this surface ask for none (M-009)."""

# The session id is unguessable and is the key to its session, whoever started it (M-012).
READER: Final = Principal(id="session", scopes=frozenset({Scope.ADMIN}))


async def limited(request: Request) -> None:
    """Ten calls a minute from one address to one route (M-037); the audit trail tells them as the public's.

    Raises `LimitExceeded`.
    """
    services = await api_state(request.app).source.services()
    client = f"{address_of(request)} {request.url.path}"
    await count_surface_request(request, services, SurfaceLimit.EXECUTE_WORKFLOW, client)
    request.state.principal = PUBLIC


async def start(services: Services, principal: Principal, request: WorkflowRequest) -> tuple[str, Started]:
    """Start a session; answers its id. Raises `InvalidInput`, `LimitExceeded`, `PayloadTooLarge`, `Unavailable`."""
    definition = definition_of(services, request.workflow_type)
    if not request.requirements.strip():  # in the document's words, after the type (M-010, M-044)
        raise InvalidInput("The provided input is invalid", field="requirements", expected="too short")
    session_id = str(uuid.uuid4())
    command = mapping.to_command(request, definition, session_id)
    return session_id, await services.starter.start(principal, command)


def definition_of(services: Services, workflow_type: str) -> WorkflowDefinition:
    """The workflow of a type. Raises `InvalidInput` in the documented words (M-010, M-023)."""
    try:
        return services.catalogue.workflow(mapping.ALIASES.get(workflow_type, workflow_type))
    except NotFound:
        raise InvalidInput(
            f"Unknown workflow type: {workflow_type}",
            field="workflow_type",
            expected=", ".join(mapping.workflow_types(services.catalogue.workflows())),
        ) from None


async def job_of(services: Services, session_id: str) -> Job:
    """The job behind a session of this surface. Raises `NotFound` (also for other surfaces' jobs), `Unavailable`."""
    unknown = NotFound(f"Unknown session: {session_id[:80]}")
    try:
        job = await services.reader.get(READER, mapping.job_of(session_id))
    except NotFound:
        raise unknown from None
    if job.labels.get("surface") != mapping.SURFACE:
        raise unknown
    return job


async def progress(services: Services, session_id: str) -> WorkflowProgressResponse:
    """Where a session is. Raises as `job_of` does."""
    job = await job_of(services, session_id)
    return mapping.from_job(job, await whole_output(services, job))
