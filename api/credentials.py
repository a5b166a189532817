"""Checks the credential of a request or a socket, and counts invalid credentials by client address."""

from starlette.requests import HTTPConnection

from api.limits import address_of, count_request
from orchestrator.domain.access import Principal
from orchestrator.domain.errors import LimitExceeded, Unauthenticated
from orchestrator.domain.limits import SurfaceLimit
from orchestrator.services.container import Services


async def admit(connection: HTTPConnection, services: Services, token: str | None) -> Principal:
    """Return the caller and count the request against the rate limit of their tier, on every surface (D-065).

    Raises `Unauthenticated`, `LimitExceeded`, `Unavailable`.
    """
    principal = await authenticate(connection, services, token)
    await count_request(connection, services, principal)
    return principal


async def authenticate(connection: HTTPConnection, services: Services, token: str | None) -> Principal:
    """Return the owner of a credential.

    A credential that is not known to be valid counts before it is looked up: guesses must not load the index.

    Raises `Unauthenticated`, `LimitExceeded`, `Unavailable`.
    """
    is_recognised = not token or services.access.recognises(token)
    try:
        if token and not is_recognised:
            await _count(connection, services, token)
        return await services.access.authenticate(token)
    except (Unauthenticated, LimitExceeded) as fault:
        connection.state.refused = True
        if (
            token and is_recognised and isinstance(fault, Unauthenticated)
        ):  # it was valid and has expired or was revoked
            await _count(connection, services, token)
        raise


async def _count(connection: HTTPConnection, services: Services, token: str) -> None:
    address = address_of(connection)
    allowance = await services.limits.admit_surface(SurfaceLimit.CREDENTIALS, address)
    if allowance.retry_after is not None and (prefix := await services.access.issued_prefix(token)) is not None:
        # The holder of an issued key must not be blocked by guesses of others from the same address.
        allowance = await services.limits.admit_surface(SurfaceLimit.CREDENTIALS, f"{address} {prefix}")
    if allowance.retry_after is not None:
        raise LimitExceeded(
            f"Too many unknown credentials from this address. Retry after {allowance.retry_after} seconds.",
            limit="credentials",
            retry_after=allowance.retry_after,
            allowed=allowance.limit,
        )
