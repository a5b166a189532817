"""Who may call and how often: a bearer token of any kind or the session cookie, a thousand requests an hour (O-004,
O-006, C-17, C-19)."""

from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials

from api.deps import Svc
from api.limits import address_of, client_of, count_surface_request
from api.security import bearer, identified, scoped
from orchestrator.domain.access import Principal, Scope
from orchestrator.domain.errors import Forbidden, Unauthenticated
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
    """The caller, whose request is counted; nothing limits the bootstrap key. Who is not known counts by address.

    Raises `Unauthenticated`, `Forbidden` for a cookie that another site sent, `LimitExceeded`, `Unavailable`.
    """
    try:
        principal = await identified(request, services, credentials or _carried(cookie))
    except Unauthenticated:
        await count_surface_request(request, services, SurfaceLimit.AGENTORCHESTRA, address_of(request))
        raise
    if credentials is None and request.method not in _SAFE:
        _refuse_other_sites(request)
    if principal != ADMIN:
        await count_surface_request(request, services, SurfaceLimit.AGENTORCHESTRA, client_of(principal))
    return principal


async def counted_execution(request: Request, services: Svc, principal: Annotated[Principal, Depends(counted)]) -> None:
    """A start, of which there are a hundred an hour. Raises `LimitExceeded`."""
    if principal != ADMIN:
        await count_surface_request(request, services, SurfaceLimit.EXECUTIONS, client_of(principal))


def _carried(cookie: str | None) -> HTTPAuthorizationCredentials | None:
    """The token in the cookie: a user's, never an API key, which a browser should not keep (C-19)."""
    if cookie is None:
        return None
    if cookie.count(".") != 2:
        raise Unauthenticated("The session is not valid")
    return HTTPAuthorizationCredentials(scheme="Bearer", credentials=cookie)


def _refuse_other_sites(request: Request) -> None:
    """A browser sends the cookie with whatever page asks for it: only our own may change something with it."""
    fetched, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if fetched is not None:
        allowed = fetched == "same-origin"
    else:
        allowed = origin is not None and urlsplit(origin).netloc == request.headers.get("host")
    if not allowed:
        raise Forbidden("A session may change something from pages of this origin only; programs send a bearer token")


Caller = Annotated[Principal, Depends(counted)]
AgentsRead = Annotated[Principal, Depends(scoped(Scope.AGENTS_READ, counted))]
AgentsWrite = Annotated[Principal, Depends(scoped(Scope.AGENTS_EXECUTE, counted))]
JobsRead = Annotated[Principal, Depends(scoped(Scope.JOBS_READ, counted))]
JobsCancel = Annotated[Principal, Depends(scoped(Scope.JOBS_CANCEL, counted))]
MetricsRead = Annotated[Principal, Depends(scoped(Scope.METRICS_READ, counted))]
