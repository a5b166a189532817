"""Authentication and limits: any bearer token or the session cookie, 1000 requests an hour (O-004, O-006, C-17,
C-19)."""

from typing import Annotated, Final

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials

from api.deps import Svc
from api.limits import address_of, client_of, count_surface_request
from api.origins import refuse_other_sites
from api.security import bearer, identified, scoped
from orchestrator.domain.access import Principal, Scope
from orchestrator.domain.errors import Unauthenticated
from orchestrator.domain.limits import SurfaceLimit
from orchestrator.services.access.authentication import ADMIN

SESSION_COOKIE: Final = "next-auth.session-token"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})

session = APIKeyCookie(name=SESSION_COOKIE, auto_error=False, description="The token of a user, as a cookie.")


async def counted(
    request: Request,
    services: Svc,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
    cookie: Annotated[str | None, Depends(session)],
) -> Principal:
    """Return the caller and count the request. The bootstrap key has no limit; an unknown caller counts by address.

    Raises `Unauthenticated`, `Forbidden` for a cookie from another site, `LimitExceeded`, `Unavailable`.
    """
    try:
        principal = await identified(request, services, credentials or _from_cookie(cookie))
    except Unauthenticated:
        await count_surface_request(request, services, SurfaceLimit.AGENTORCHESTRA, address_of(request))
        raise
    if credentials is None and request.method not in _SAFE:
        refuse_other_sites(request)
    if principal != ADMIN:
        await count_surface_request(request, services, SurfaceLimit.AGENTORCHESTRA, client_of(principal))
    return principal


async def counted_execution(request: Request, services: Svc, principal: Annotated[Principal, Depends(counted)]) -> None:
    """Count a start: 100 an hour. Raises `LimitExceeded`."""
    if principal != ADMIN:
        await count_surface_request(request, services, SurfaceLimit.EXECUTIONS, client_of(principal))


def _from_cookie(cookie: str | None) -> HTTPAuthorizationCredentials | None:
    """Return the user's token in the cookie. An API key is refused: a browser should not store one (C-19)."""
    if cookie is None:
        return None
    if cookie.count(".") != 2:
        raise Unauthenticated("The session is not valid")
    return HTTPAuthorizationCredentials(scheme="Bearer", credentials=cookie)


Caller = Annotated[Principal, Depends(counted)]
AgentsRead = Annotated[Principal, Depends(scoped(Scope.AGENTS_READ, caller=counted))]
AgentsWrite = Annotated[Principal, Depends(scoped(Scope.AGENTS_EXECUTE, caller=counted))]
JobsRead = Annotated[Principal, Depends(scoped(Scope.JOBS_READ, caller=counted))]
JobsCancel = Annotated[Principal, Depends(scoped(Scope.JOBS_CANCEL, caller=counted))]
MetricsRead = Annotated[Principal, Depends(scoped(Scope.METRICS_READ, caller=counted))]
