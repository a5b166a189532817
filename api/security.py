"""Authentication by bearer token (D-010) and authorisation by one scope per route (D-015)."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from structlog.contextvars import bind_contextvars

from api.credentials import admit
from api.deps import Svc
from orchestrator.domain.access import Principal, Scope

OPTIONAL_KEY: Final[dict[str, Any]] = {"security": [{}]}
"""`openapi_extra` of a route whose credential is optional."""

_SCOPES: Final[dict[Callable[..., Any], tuple[Scope, ...]]] = {}

bearer = HTTPBearer(auto_error=False, description="An API key: `Authorization: Bearer YOUR_API_KEY`.")


async def identified(
    request: Request, services: Svc, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> Principal:
    """Return the caller and count the request against their tier (D-065). Raises `Unauthenticated`, `LimitExceeded`."""
    principal = await admit(request, services, credentials.credentials if credentials else None)
    request.state.principal = request.state.authenticated = principal
    bind_contextvars(principal=principal.id)
    return principal


def scoped(
    *scopes: Scope, caller: Callable[..., Awaitable[Principal]] = identified
) -> Callable[..., Awaitable[Principal]]:
    """Return a dependency that returns the caller if they hold one of the scopes.

    It raises `Forbidden`, and what `caller` raises."""

    async def allowed(principal: Annotated[Principal, Depends(caller)]) -> Principal:
        if principal.scopes.isdisjoint(scopes):
            principal.require(scopes[0])
        return principal

    _SCOPES[allowed] = scopes
    return allowed


def scopes_of(dependency: Callable[..., Any]) -> tuple[Scope, ...]:
    """Return the scopes of which a dependency of `scoped` requires one; none for any other callable."""
    return _SCOPES.get(dependency, ())


Caller = Annotated[Principal, Depends(identified)]
Admin = Annotated[Principal, Depends(scoped(Scope.ADMIN))]
AgentsRead = Annotated[Principal, Depends(scoped(Scope.AGENTS_READ))]
AgentsExecute = Annotated[Principal, Depends(scoped(Scope.AGENTS_EXECUTE))]
WorkflowsRead = Annotated[Principal, Depends(scoped(Scope.WORKFLOWS_READ))]
WorkflowsRun = Annotated[Principal, Depends(scoped(Scope.WORKFLOWS_RUN))]
Starter = Annotated[Principal, Depends(scoped(Scope.WORKFLOWS_RUN, Scope.AGENTS_EXECUTE))]
JobsRead = Annotated[Principal, Depends(scoped(Scope.JOBS_READ))]
JobsCancel = Annotated[Principal, Depends(scoped(Scope.JOBS_CANCEL))]
MetricsRead = Annotated[Principal, Depends(scoped(Scope.METRICS_READ))]
