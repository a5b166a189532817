"""Authorisation and limits: three roles, and 100 requests a minute per client (S-005, S-022, S-024)."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials

from api.deps import Svc
from api.limits import address_of, client_of, count_surface_request
from api.security import bearer, identified
from orchestrator.domain.access import Principal, Role, Scope
from orchestrator.domain.errors import Forbidden, Unauthenticated
from orchestrator.domain.limits import SurfaceLimit
from orchestrator.services.access.authentication import ADMIN

ANY_ROLE: Final = tuple(Role)
_MANAGING: Final = frozenset({Scope.AGENTS_EXECUTE, Scope.METRICS_READ})


def roles_of(principal: Principal) -> frozenset[Role]:
    """Return the roles of a caller: those of the user, or those that match the scopes of the API key (C-69)."""
    if principal.expires_at is not None:
        return principal.roles
    if principal.admin:
        return frozenset({Role.ADMIN})
    return frozenset({Role.ORCHESTRATION_MANAGER}) if principal.scopes >= _MANAGING else frozenset()


async def counted(
    request: Request, services: Svc, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> Principal:
    """Return the caller and count the request. The bootstrap key has no limit; an unknown caller counts by address.

    Raises `Unauthenticated`, `LimitExceeded`, `Unavailable`.
    """
    try:
        principal = await identified(request, services, credentials)
    except Unauthenticated:
        await counted_by_address(request, services)
        raise
    if principal != ADMIN:
        await count_surface_request(request, services, SurfaceLimit.ORCHESTRATION, client_of(principal))
    return principal


async def counted_by_address(request: Request, services: Svc) -> None:
    """Count a request that needs no credential. Raises `LimitExceeded`."""
    await count_surface_request(request, services, SurfaceLimit.ORCHESTRATION, address_of(request))


async def attempted(request: Request, services: Svc) -> None:
    """Count a sign-in, also a successful one: ten in 15 minutes from one address (C-27). Raises `LimitExceeded`."""
    await count_surface_request(request, services, SurfaceLimit.AUTHENTICATION, f"{address_of(request)} login")


def guarded(*roles: Role, target_ms: int | None = None) -> dict[str, Any]:
    """Return the route options that require one of these roles and declare it in the OpenAPI document.

    The list of endpoints is made from that declaration. Raises `Unauthenticated`, `Forbidden`, `LimitExceeded`.
    """

    return {
        "dependencies": [Depends(_allowed(roles))],
        "openapi_extra": {"x-roles": [str(role) for role in roles], "x-target-ms": target_ms},
    }


def _allowed(roles: tuple[Role, ...]) -> Callable[..., Awaitable[None]]:
    async def allowed(principal: Annotated[Principal, Depends(counted)]) -> None:
        if roles_of(principal).isdisjoint(roles):
            raise Forbidden(f"This route needs one of the roles {', '.join(roles)}")

    return allowed


Caller = Annotated[Principal, Depends(counted)]
