"""The route for a caller's limits and usage (D-065)."""

from fastapi import APIRouter, Request
from pydantic import Field

from api.deps import Svc
from api.limits import allowance_of
from api.security import Caller
from api.v1.envelope import ERRORS, V1Route
from api.v1.wire import Timestamp, Wire
from orchestrator.domain.limits import Tier

router = APIRouter(prefix="/v1/limits", tags=["limits"], route_class=V1Route, responses=ERRORS)


class Requests(Wire):
    """Requests in any 60 seconds, per API key. `reset` is a Unix time in seconds."""

    limit: int | None
    remaining: int | None
    reset: int | None


class Jobs(Wire):
    """Open jobs, per owner."""

    limit: int | None
    used: int


class Tokens(Wire):
    """Prompt and completion tokens since the start of the calendar month in UTC, per owner.

    `reserved` are the tokens that open jobs may still use.
    """

    limit: int | None
    used: int
    reserved: int
    reset: Timestamp


class LimitsBody(Wire):
    """A caller's limits and usage. A null `limit` or a null `tier` means no limit."""

    tier: Tier | None = Field(description="Null for the bootstrap key.")
    requests_per_minute: Requests
    concurrent_jobs: Jobs
    monthly_tokens: Tokens


@router.get("")
async def get_limits(principal: Caller, services: Svc, request: Request) -> LimitsBody:
    """The caller's limits and usage. This request is already counted."""
    usage = await services.quotas.usage(principal)
    allowance = allowance_of(request.scope)
    return LimitsBody(
        tier=principal.tier,
        requests_per_minute=Requests(
            limit=allowance and allowance.limit,
            remaining=allowance and allowance.remaining,
            reset=allowance and allowance.reset,
        ),
        concurrent_jobs=Jobs(limit=usage.limits.concurrent_jobs, used=usage.jobs),
        monthly_tokens=Tokens(
            limit=usage.limits.monthly_tokens,
            used=usage.tokens,
            reserved=usage.reserved_tokens,
            reset=usage.month_ends,
        ),
    )
