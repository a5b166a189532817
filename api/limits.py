"""Counts a caller's request, and says on every response what is left (D-065 to D-067, C-25)."""

import hashlib
import time
from ipaddress import IPv6Address, IPv6Network, ip_address

from starlette.requests import HTTPConnection, Request
from starlette.types import Scope

from orchestrator.domain.access import Principal
from orchestrator.domain.errors import LimitExceeded
from orchestrator.domain.limits import Allowance, SurfaceLimit
from orchestrator.services.container import Services


async def count_request(request: HTTPConnection, services: Services, principal: Principal) -> None:
    """Count one request of an authenticated caller and keep what is left for the response.

    Raises `LimitExceeded`; nothing is counted then.
    """
    _keep(request, await services.limits.admit(principal), "requests_per_minute")


async def count_surface_request(request: Request, services: Services, limit: SurfaceLimit, client: str) -> None:
    """Count one request of a client against the limit that its surface documents (C-24).

    Raises `LimitExceeded`; nothing is counted then.
    """
    _keep(request, await services.limits.admit_surface(limit, client), "requests")


async def count_sign_in(request: Request, services: Services, username: str) -> None:
    """Count a sign-in under a user name, whatever address it comes from. Only the name's digest is kept.

    Raises `LimitExceeded`.
    """
    client = f"name:{hashlib.sha256(username.encode()).hexdigest()}"
    allowance = await services.limits.admit_surface(SurfaceLimit.SIGN_IN, client)
    _keep(request, allowance, "requests")


def client_of(principal: Principal) -> str:
    """Whose requests are counted together on a surface: an API key's, else a user's (S-024)."""
    return f"key:{principal.key}" if principal.key is not None else f"user:{principal.id}"


def address_of(request: HTTPConnection) -> str:
    """Whose requests are counted together where there is no credential: one address's."""
    return f"address:{network_of(request)}"


def network_of(request: HTTPConnection) -> str:
    """The client's address, as far as it tells clients apart.

    One client holds 2**64 addresses of IPv6: they are one, the network's. An address of IPv4 in one of IPv6 is itself.
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


def _keep(request: HTTPConnection, allowance: Allowance | None, limit: str) -> None:
    """Have the response tell of the window with the least left. Raises `LimitExceeded` if this one is used up."""
    before = allowance_of(request.scope)
    if before is None or (allowance is not None and allowance.remaining <= before.remaining):
        request.state.allowance = allowance
    if allowance is not None and allowance.retry_after is not None:
        raise LimitExceeded(
            f"Rate limit exceeded. Retry after {allowance.retry_after} seconds.",
            limit=limit,
            retry_after=allowance.retry_after,
            allowed=allowance.limit,
        )


def allowance_of(scope: Scope) -> Allowance | None:
    """What is left after the request of an ASGI scope; None when nothing limits its caller."""
    found: Allowance | None = scope.get("state", {}).get("allowance")
    return found


def limit_headers(scope: Scope) -> dict[str, str]:
    """The three headers of every response (D-066)."""
    allowance = allowance_of(scope) or Allowance.unlimited(time.time())
    return {
        "X-RateLimit-Limit": str(allowance.limit),
        "X-RateLimit-Remaining": str(allowance.remaining),
        "X-RateLimit-Reset": str(allowance.reset),
    }
