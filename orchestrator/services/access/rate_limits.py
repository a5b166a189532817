"""Counts requests in moving windows, here or in Redis (D-065, C-24).

When Redis is gone most are let through; what strangers could abuse is counted in this process meanwhile.
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from orchestrator.domain.access import Principal
from orchestrator.domain.limits import (
    ALWAYS_COUNTED,
    SURFACE_LIMITS,
    Allowance,
    SurfaceLimit,
    Tier,
    TierLimits,
    Window,
)

log = structlog.get_logger(__name__)

SOCKET_TIMEOUT: Final = 0.25
PATIENCE: Final = 0.5  # Seconds that one request may wait in all, for its turn and for Redis.
PAUSE: Final = 2.0  # Seconds until a Redis that failed is tried again, by one request.
_WARN_EVERY: Final = 60.0
_CONNECTIONS: Final = 50


@dataclass(frozen=True, slots=True)
class Policy:
    """At most `limit` requests of one identity in any `seconds`. Windows of policies with other names stand apart.

    One that is `always_counted` is counted in this process while Redis does not answer.
    """

    name: str
    limit: int
    seconds: int = 60
    always_counted: bool = False


class RateLimiter:
    """Counts requests by policy and identity: in this process, or in the Redis that all processes share.

    The window moves, and is exact: no span of its length ever holds more than `limit` requests. A sliding counter only
    estimates, and a fixed window lets twice as many through around its edge. The price is one stored time for each
    request let through, `limit` at most. A request that is refused does not count.
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
        self._pool = None if redis_url is None else _pool(redis_url)
        self._windows: MovingWindowRateLimiter | None = None
        self._own_windows: MovingWindowRateLimiter | None = None
        self._failed = False
        self._paused_until = self._silent_until = -math.inf

    async def hit(self, policy: Policy, identity: str) -> Allowance:
        """Count a request, unless it is refused, and tell what is left.

        Without an answer from Redis the request is let through uncounted, at once or within `PATIENCE` seconds, or is
        counted here if the policy is `always_counted`.
        """
        if self._timer() < self._paused_until:
            return await self._without_redis(policy, identity)
        if self._failed:  # This request looks whether Redis is back; the others go on meanwhile.
            self._paused_until = self._timer() + PAUSE
        windows = self._opened()
        try:
            async with asyncio.timeout(PATIENCE):
                allowance = await self._counted(windows, policy, identity)
        except (RedisError, OSError, TimeoutError) as fault:
            self._pause(fault)
            return await self._without_redis(policy, identity)
        self._failed, self._paused_until = False, -math.inf
        return allowance

    async def _counted(self, windows: MovingWindowRateLimiter, policy: Policy, identity: str) -> Allowance:
        item = RateLimitItemPerSecond(policy.limit, policy.seconds)
        admitted = await windows.hit(item, policy.name, identity)
        window = await windows.get_window_stats(item, policy.name, identity)
        wait = max(1, math.ceil(window.reset_time - self._clock()))
        return Allowance(
            limit=policy.limit,
            remaining=max(0, window.remaining) if admitted else 0,
            reset=math.ceil(window.reset_time),
            retry_after=None if admitted else wait,
            seconds=policy.seconds,
        )

    async def aclose(self) -> None:
        """Let go of the connections; the next request opens them again."""
        if self._pool is not None:
            await self._pool.disconnect()

    def _opened(self) -> MovingWindowRateLimiter:
        if self._windows is None:  # Not before the first request: a store in memory needs a running loop.
            if self._pool is None:
                self._windows = MovingWindowRateLimiter(MemoryStorage())
            else:
                # The pool has the address; the library only reads the scheme.
                store = RedisStorage("async+redis://", implementation="redispy", connection_pool=self._pool)  # type: ignore[arg-type]
                self._windows = MovingWindowRateLimiter(store)
        return self._windows

    def _pause(self, fault: Exception) -> None:
        self._failed = True
        self._paused_until = self._timer() + PAUSE
        if self._timer() >= self._silent_until:
            self._silent_until = self._timer() + _WARN_EVERY
            log.warning("limiter_unavailable", fault=type(fault).__name__, error=str(fault)[:300])

    async def _without_redis(self, policy: Policy, identity: str) -> Allowance:
        if not policy.always_counted:
            return self._uncounted(policy)
        if self._own_windows is None:
            self._own_windows = MovingWindowRateLimiter(MemoryStorage())
        return await self._counted(self._own_windows, policy, identity)

    def _uncounted(self, policy: Policy) -> Allowance:
        reset = math.ceil(self._clock()) + policy.seconds
        return Allowance(limit=policy.limit, remaining=policy.limit, reset=reset, counted=False, seconds=policy.seconds)


class RequestLimits:
    """Which policy holds for whom: the tier's on the native surface, on the others the one that they document."""

    def __init__(
        self,
        limiter: RateLimiter,
        tiers: Mapping[Tier, TierLimits],
        surfaces: Mapping[SurfaceLimit, Window] = SURFACE_LIMITS,
    ) -> None:
        """`surfaces` are the windows that differ from the documented ones."""
        self._limiter = limiter
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
        """Count one request of an authenticated caller, per API key (D-065); None when nothing limits them."""
        policy = self._tiers.get(principal.tier) if principal.tier is not None else None
        if policy is None:
            return None
        identity = f"key:{principal.key}" if principal.key is not None else f"owner:{principal.id}"
        return await self._limiter.hit(policy, identity)

    async def admit_surface(self, limit: SurfaceLimit, client: str) -> Allowance:
        """Count one request of a client against a surface's own limit (C-24)."""
        return await self._limiter.hit(self._surfaces[limit], client)

    async def aclose(self) -> None:
        """Let go of the limiter's connections."""
        await self._limiter.aclose()


def _pool(url: str) -> BlockingConnectionPool:
    """Connections that give up soon and are not tried again: the request is let through instead.

    A burst waits for its turn: a pool that refuses would let it through uncounted.
    """
    return BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=PATIENCE,
        socket_timeout=SOCKET_TIMEOUT,
        socket_connect_timeout=SOCKET_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
    )
