"""Counts a caller's requests, and adds the rate limit headers to every response (D-065 to D-067, C-25)."""

import hashlib
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv6Address, IPv6Network, ip_address

from starlette.requests import HTTPConnection, Request
from starlette.types import Scope

from orchestrator.domain.access import Principal
from orchestrator.domain.errors import LimitExceeded
from orchestrator.domain.limits import Allowance, SurfaceLimit
from orchestrator.services.container import Services


async def count_request(request: HTTPConnection, services: Services, principal: Principal) -> None:
    """Count one request of an authenticated caller and store the allowance for the response headers.

    Raises `LimitExceeded`, and counts nothing then.
    """
    _keep(request, await services.limits.admit(principal), "requests_per_minute", "requests_per_minute")


async def count_surface_request(request: Request, services: Services, limit: SurfaceLimit, client: str) -> None:
    """Count one request of a client against the limit that its surface documents (C-24).

    Raises `LimitExceeded`, and counts nothing then.
    """
    _keep(request, await services.limits.admit_surface(limit, client), "requests", limit)


@asynccontextmanager
async def counting_failures(
    request: Request, services: Services, limit: SurfaceLimit, client: str
) -> AsyncIterator[None]:
    """Count the sign-in in this block against a limit if it raises `Unauthenticated`. Raises `LimitExceeded`."""
    async with services.limits.attempt(limit, client) as allowance:
        _keep(request, allowance, "requests", limit)
        yield


async def count_sign_in(request: Request, services: Services, username: str) -> None:
    """Count a sign-in by user name, from any address. Only the digest of the name is stored.

    Raises `LimitExceeded`.
    """
    allowance = await services.limits.admit_surface(SurfaceLimit.SIGN_IN, name_of(username))
    _keep(request, allowance, "requests", SurfaceLimit.SIGN_IN)


def name_of(username: str) -> str:
    """Return the client of sign-ins under a user name, from any address."""
    return f"name:{hashlib.sha256(username.encode()).hexdigest()}"


def client_of(principal: Principal) -> str:
    """Return the client whose requests on a surface count together: the API key, else the user (S-024)."""
    return f"key:{principal.key}" if principal.key is not None else f"user:{principal.id}"


def address_of(request: HTTPConnection) -> str:
    """Return the client of a request without a credential: its address."""
    return f"address:{network_of(request)}"


def network_of(request: HTTPConnection) -> str:
    """Return the part of the client's address that identifies one client.

    One client owns 2**64 addresses of IPv6; the result is their network. IPv4 mapped to IPv6 is returned as IPv4.
    """
    host = request.client.host if request.client else "unknown"
    try:
        address = ip_address(host)
    except ValueError:  # a Unix socket, or a test's client
        return host
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(IPv6Network((int(address) >> 64 << 64, 64)).network_address)
    return str(address)


def _keep(request: HTTPConnection, allowance: Allowance | None, limit: str, policy: str) -> None:
    """Store the allowance with the fewest remaining requests for the response. Raises `LimitExceeded` if it is 0."""
    before = allowance_of(request.scope)
    if before is None or (allowance is not None and allowance.remaining <= before.remaining):
        request.state.allowance, request.state.limit_policy = allowance, policy
    if allowance is not None and allowance.retry_after is not None:
        raise LimitExceeded(
            f"Rate limit exceeded. Retry after {allowance.retry_after} seconds.",
            limit=limit,
            retry_after=allowance.retry_after,
            allowed=allowance.limit,
        )


def allowance_of(scope: Scope) -> Allowance | None:
    """Return the allowance that remains after the request of an ASGI scope; None if its caller has no limit."""
    allowance: Allowance | None = scope.get("state", {}).get("allowance")
    return allowance


def limit_headers(scope: Scope) -> dict[str, str]:
    """Return the rate limit headers of a response: the three documented ones (D-066) and, if there is a limit, those of
    the IETF draft `ratelimit-headers`."""
    limited, now = allowance_of(scope), time.time()
    allowance = limited or Allowance.unlimited(now)
    headers = {
        "X-RateLimit-Limit": str(allowance.limit),
        "X-RateLimit-Remaining": str(allowance.remaining),
        "X-RateLimit-Reset": str(allowance.reset),
    }
    if limited is None:
        return headers
    policy, wait = scope["state"]["limit_policy"], max(0, limited.reset - math.floor(now))
    return {
        **headers,
        "RateLimit-Policy": f'"{policy}";q={limited.limit};w={limited.seconds}',
        "RateLimit": f'"{policy}";r={limited.remaining};t={wait}',
    }
