"""Common parts of the routes of this surface: start and read a session."""

import uuid
from contextlib import suppress
from typing import Annotated, Final

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials

from api.deps import Svc
from api.dialects.orchestrator import mapping
from api.dialects.orchestrator.models import WorkflowProgressResponse, WorkflowRequest
from api.limits import address_of, count_surface_request, network_of
from api.outputs import whole_output
from api.security import bearer, identified
from orchestrator.domain.access import Principal, Scope
from orchestrator.domain.errors import InvalidInput, NotFound
from orchestrator.domain.jobs import Job
from orchestrator.domain.limits import SurfaceLimit, Tier
from orchestrator.domain.plans import WorkflowDefinition
from orchestrator.services.container import Services
from orchestrator.services.jobs.start import Started

# If sessions are public, anyone with the unguessable session id may read the session (M-012).
READER: Final = Principal(id="session", scopes=frozenset({Scope.ADMIN}))

_Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


async def _authenticated(
    request: Request, services: Services, credentials: HTTPAuthorizationCredentials | None, scope: Scope
) -> Principal:
    principal = await identified(request, services, credentials)
    principal.require(scope)
    return principal


async def session_starter(request: Request, services: Svc, credentials: _Credentials) -> Principal:
    """Return who starts a session: the owner of the credential or, if sessions are public, the client's address.

    An address owns the jobs that it starts, and all of them count toward one limit. It has ten calls a minute on all
    routes together (M-037). Raises `Unauthenticated`, `Forbidden`, `LimitExceeded`.
    """
    if credentials is not None or not services.public_sessions:
        return await _authenticated(request, services, credentials, Scope.WORKFLOWS_RUN)
    public = Principal(
        id=f"public:{network_of(request)}", scopes=frozenset({Scope.WORKFLOWS_RUN, Scope.JOBS_READ}), tier=Tier.PUBLIC
    )
    request.state.principal = public
    await count_surface_request(request, services, SurfaceLimit.EXECUTE_WORKFLOW, address_of(request))
    return public


async def session_reader(request: Request, services: Svc, credentials: _Credentials) -> Principal:
    """Return who reads a session: anyone who has its id if sessions are public, else its owner.

    Raises `Unauthenticated`, `Forbidden`, `LimitExceeded`.
    """
    if services.public_sessions:
        return READER
    return await _authenticated(request, services, credentials, Scope.JOBS_READ)


SessionStarter = Annotated[Principal, Depends(session_starter)]
SessionReader = Annotated[Principal, Depends(session_reader)]


async def start(services: Services, principal: Principal, request: WorkflowRequest) -> tuple[str, Started]:
    """Start a session and return its id. Raises `InvalidInput`, `LimitExceeded`, `PayloadTooLarge`, `Unavailable`."""
    definition = definition_of(services, request.workflow_type)
    if not request.requirements.strip():  # checked after the type, with the documented message (M-010, M-044)
        raise InvalidInput("The provided input is invalid", field="requirements", expected="too short")
    session_id = str(uuid.uuid4())
    command = mapping.to_command(request, definition, session_id)
    return session_id, await services.starter.start(principal, command)


def definition_of(services: Services, workflow_type: str) -> WorkflowDefinition:
    """Return the workflow of a type. Raises `InvalidInput` with the documented message (M-010, M-023)."""
    try:
        return services.catalogue.workflow(mapping.ALIASES.get(workflow_type, workflow_type))
    except NotFound:
        raise InvalidInput(
            f"Unknown workflow type: {workflow_type}",
            field="workflow_type",
            expected=", ".join(mapping.workflow_types(services.catalogue.workflows())),
        ) from None


async def job_of(services: Services, principal: Principal, session_id: str) -> Job:
    """Return the job of a session of this surface, if the principal may see it.

    Raises `NotFound` (also for jobs of other surfaces), `Unavailable`.
    """
    for job_id in (mapping.job_of(session_id), mapping.former_job_of(session_id)):
        with suppress(NotFound):
            job = await services.reader.get(principal, job_id)
            if mapping.is_session(job, session_id):
                return job
    raise NotFound(f"Unknown session: {session_id[:80]}")


async def progress(services: Services, principal: Principal, session_id: str) -> WorkflowProgressResponse:
    """Return the state of a session. Raises what `job_of` raises."""
    job = await job_of(services, principal, session_id)
    return mapping.from_job(session_id, job, await whole_output(services, job))
