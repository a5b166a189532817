"""Looks at the credential of a request or a socket, and counts those that open nothing by the client's address."""

from starlette.requests import HTTPConnection

from api.limits import address_of, count_request
from orchestrator.domain.access import Principal
from orchestrator.domain.errors import LimitExceeded, Unauthenticated
from orchestrator.domain.limits import SurfaceLimit
from orchestrator.services.registry import Services


async def admit(connection: HTTPConnection, services: Services, token: str | None) -> Principal:
    """The caller, counted against the window of their tier, which holds on every surface (D-065).

    Raises `Unauthenticated`, `LimitExceeded`, `Unavailable`.
    """
    principal = await authenticate(connection, services, token)
    await count_request(connection, services, principal)
    return principal


async def authenticate(connection: HTTPConnection, services: Services, token: str | None) -> Principal:
    """Whose credential it is. One that is not known to be valid counts before the index is asked for it, so that
    nobody can have it asked again and again; one that opened something before is let in whatever was counted.

    Raises `Unauthenticated`, `LimitExceeded`, `Unavailable`.
    """
    known = not token or services.access.recognises(token)
    try:
        if not known:
            await _count(connection, services)
        return await services.access.authenticate(token)
    except Unauthenticated:
        connection.state.refused = True
        if token and known:  # it has ended since
            await _count(connection, services)
        raise


async def _count(connection: HTTPConnection, services: Services) -> None:
    allowance = await services.limits.admit_surface(SurfaceLimit.CREDENTIALS, address_of(connection))
    if allowance.retry_after is not None:
        connection.state.refused = True
        raise LimitExceeded(
            f"Too many unknown credentials from this address. Retry after {allowance.retry_after} seconds.",
            limit="credentials",
            retry_after=allowance.retry_after,
            allowed=allowance.limit,
        )
