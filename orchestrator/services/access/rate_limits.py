"""Counts requests in moving windows, in this process or in Redis (D-065, C-24).

While Redis does not answer, most requests are admitted uncounted. This process counts those that anonymous clients
could abuse.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from orchestrator.domain.access import Principal
from orchestrator.domain.errors import Unauthenticated
from orchestrator.domain.limits import (
    ALWAYS_COUNTED,
    SURFACE_LIMITS,
    Allowance,
    SurfaceLimit,
    Tier,
    TierLimits,
    Window,
)

if TYPE_CHECKING:
    from limits.aio.strategies import MovingWindowRateLimiter
    from redis.asyncio import BlockingConnectionPool

log = structlog.get_logger(__name__)

REDIS_TIMEOUT_SECONDS: Final = 0.5  # Seconds that one request may wait for a connection and Redis together.
PAUSE: Final = 2.0  # Seconds until one request tries a failed Redis again.
_WARN_EVERY: Final = 60.0


@dataclass(frozen=True, slots=True)
class Policy:
    """At most `limit` requests of one identity in any `seconds`. Policies with different names count separately.

    An `always_counted` policy is counted in this process while Redis does not answer.
    """

    name: str
    limit: int
    seconds: int = 60
    always_counted: bool = False


class RateLimiter:
    """Counts requests by policy and identity: in this process, or in the Redis that all processes share.

    The window moves and is exact: no span of its length contains more than `limit` requests. (A sliding counter only
    estimates, and a fixed window admits twice as many around its edge.) It costs one stored time for each admitted
    request, at most `limit`. A refused request does not count.
    """

    def __init__(
        self,
        redis_url: str | None = None,
        *,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._timer = timer
        self._pool: BlockingConnectionPool | None = None
        self._faults: tuple[type[Exception], ...] = (OSError, TimeoutError)
        if redis_url is not None:
            from orchestrator.services.access import redis_windows  # noqa: PLC0415 - slow to import

            self._pool = redis_windows.open_pool(redis_url, patience=REDIS_TIMEOUT_SECONDS)
            self._faults = redis_windows.FAULTS
        self._windows: MovingWindowRateLimiter | None = None
        self._own_windows: MovingWindowRateLimiter | None = None
        self._failed = False
        self._paused_until = self._silent_until = -math.inf

    async def hit(self, policy: Policy, identity: str, *, under_way: int | None = None) -> Allowance:
        """Count a request, unless it is refused, and return what remains.

        With `under_way`, the number of requests whose outcome is open, nothing is counted: the answer is whether all
        of them would be admitted.

        If Redis does not answer within `REDIS_TIMEOUT_SECONDS`, the request is admitted uncounted, or counted in this
        process if the policy is `always_counted`.
        """
        if self._timer() < self._paused_until:
            return await self._without_redis(policy, identity, under_way)
        if self._failed:  # This request tries Redis; the others do without it meanwhile.
            self._paused_until = self._timer() + PAUSE
        windows = self._opened()
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_SECONDS):
                allowance = await self._counted(windows, policy, identity, under_way)
        except self._faults as error:
            self._pause(error)
            return await self._without_redis(policy, identity, under_way)
        self._failed, self._paused_until = False, -math.inf
        return allowance

    async def _counted(
        self, windows: "MovingWindowRateLimiter", policy: Policy, identity: str, under_way: int | None
    ) -> Allowance:
        from limits import RateLimitItemPerSecond  # noqa: PLC0415 - slow to import, and a worker counts no requests

        item = RateLimitItemPerSecond(policy.limit, policy.seconds)
        admitted = under_way is not None or await windows.hit(item, policy.name, identity)
        window = await windows.get_window_stats(item, policy.name, identity)
        remaining = window.remaining - (under_way or 0)
        admitted = admitted and (under_way is None or remaining >= 0)
        wait = max(1, math.ceil(window.reset_time - self._clock()))
        return Allowance(
            limit=policy.limit,
            remaining=max(0, remaining) if admitted else 0,
            reset=math.ceil(window.reset_time),
            retry_after=None if admitted else wait,
            seconds=policy.seconds,
        )

    async def aclose(self) -> None:
        """Close the connections. The next request opens them again."""
        if self._pool is not None:
            await self._pool.disconnect()

    def _opened(self) -> "MovingWindowRateLimiter":
        if self._windows is None:  # Opened by the first request: a store in memory needs a running loop.
            if self._pool is None:
                self._windows = _windows_in_memory()
            else:
                from orchestrator.services.access import redis_windows  # noqa: PLC0415 - slow to import

                self._windows = redis_windows.windows(self._pool)
        return self._windows

    def _pause(self, error: Exception) -> None:
        self._failed = True
        self._paused_until = self._timer() + PAUSE
        if self._timer() >= self._silent_until:
            self._silent_until = self._timer() + _WARN_EVERY
            log.warning("limiter_unavailable", fault=type(error).__name__, error=str(error)[:300])

    async def _without_redis(self, policy: Policy, identity: str, under_way: int | None) -> Allowance:
        if not policy.always_counted:
            return self._uncounted(policy)
        if self._own_windows is None:
            self._own_windows = _windows_in_memory()
        return await self._counted(self._own_windows, policy, identity, under_way)

    def _uncounted(self, policy: Policy) -> Allowance:
        reset = math.ceil(self._clock()) + policy.seconds
        return Allowance(limit=policy.limit, remaining=policy.limit, reset=reset, counted=False, seconds=policy.seconds)


class RequestLimits:
    """Selects the policy of a request: the tier's on the native surface, the documented one on each other surface."""

    def __init__(
        self,
        limiter: RateLimiter,
        tiers: Mapping[Tier, TierLimits],
        surfaces: Mapping[SurfaceLimit, Window] = SURFACE_LIMITS,
    ) -> None:
        """`surfaces` are the windows that replace documented ones."""
        self._limiter = limiter
        self._under_way: Counter[tuple[SurfaceLimit, str]] = Counter()
        self._surfaces = {
            name: Policy(name, window.limit, window.seconds, always_counted=name in ALWAYS_COUNTED)
            for name, window in {**SURFACE_LIMITS, **surfaces}.items()
        }
        self._tiers = {
            tier: Policy("tier", limits.requests_per_minute)
            for tier, limits in tiers.items()
            if limits.requests_per_minute is not None
        }

    async def admit(self, principal: Principal) -> Allowance | None:
        """Count one request of an authenticated caller, per API key (D-065). None for a caller without a limit."""
        policy = self._tiers.get(principal.tier) if principal.tier is not None else None
        if policy is None:
            return None
        identity = f"key:{principal.key}" if principal.key is not None else f"owner:{principal.id}"
        return await self._limiter.hit(policy, identity)

    async def admit_surface(self, limit: SurfaceLimit, client: str) -> Allowance:
        """Count one request of a client against the limit of a surface (C-24)."""
        return await self._limiter.hit(self._surfaces[limit], client)

    @asynccontextmanager
    async def attempt(self, limit: SurfaceLimit, client: str) -> AsyncIterator[Allowance]:
        """Admit an attempt, and count it only if it raises `Unauthenticated`.

        Until it ends, it takes a place of the window, so that parallel attempts are no more than those one by one.
        """
        policy, attempts = self._surfaces[limit], (limit, client)
        self._under_way[attempts] += 1
        try:
            yield await self._limiter.hit(policy, client, under_way=self._under_way[attempts])
        except Unauthenticated:
            await self._limiter.hit(policy, client)
            raise
        finally:
            self._under_way[attempts] -= 1
            if not self._under_way[attempts]:
                del self._under_way[attempts]

    async def aclose(self) -> None:
        """Close the connections of the limiter."""
        await self._limiter.aclose()


def _windows_in_memory() -> "MovingWindowRateLimiter":
    from limits.aio.storage import MemoryStorage  # noqa: PLC0415
    from limits.aio.strategies import MovingWindowRateLimiter  # noqa: PLC0415

    return MovingWindowRateLimiter(MemoryStorage())
