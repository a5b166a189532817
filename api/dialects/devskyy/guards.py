"""Who may call and how often: three roles, and a hundred requests a minute of one client (S-005, S-022, S-024)."""

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
    """The roles of a caller: a user's own; of an API key, those that its scopes stand for (C-69)."""
    if principal.expires_at is not None:
        return principal.roles
    if principal.admin:
        return frozenset({Role.ADMIN})
    return frozenset({Role.ORCHESTRATION_MANAGER}) if principal.scopes >= _MANAGING else frozenset()


async def counted(
    request: Request, services: Svc, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> Principal:
    """The caller, whose request is counted; nothing limits the bootstrap key. Who is not known counts by address.

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
    """A request that needs no credential. Raises `LimitExceeded`."""
    await count_surface_request(request, services, SurfaceLimit.ORCHESTRATION, address_of(request))


async def attempted(request: Request, services: Svc) -> None:
    """A sign-in: ten in fifteen minutes from one address, right ones too (C-27). Raises `LimitExceeded`."""
    await count_surface_request(request, services, SurfaceLimit.AUTHENTICATION, f"{address_of(request)} login")


def guarded(*roles: Role, target_ms: int | None = None) -> dict[str, Any]:
    """How a route asks for any of these roles, and says so in the OpenAPI document, from which the list of endpoints
    is made. It raises `Unauthenticated`, `Forbidden`, `LimitExceeded`."""

    return {
        "dependencies": [Depends(_allowed(roles))],
        "openapi_extra": {"x-roles": [str(role) for role in roles], "x-target-ms": target_ms},
    }


def _allowed(roles: tuple[Role, ...]) -> Callable[..., Awaitable[None]]:
    async def allowed(principal: Annotated[Principal, Depends(counted)]) -> None:
        if roles_of(principal).isdisjoint(roles):
            raise Forbidden(f"This needs one of the roles {', '.join(roles)}")

    return allowed


Caller = Annotated[Principal, Depends(counted)]
