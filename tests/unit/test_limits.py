"""Requests are counted exactly, in this process and in Redis, and let through when Redis is gone."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from orchestrator.domain.access import Principal
from orchestrator.domain.limits import (
    ALWAYS_COUNTED,
    TIERS,
    UNLIMITED,
    Allowance,
    SurfaceLimit,
    Tier,
    TierLimits,
    Window,
)
from orchestrator.services.access import rate_limits, redis_windows
from orchestrator.services.access.authentication import ADMIN
from orchestrator.services.access.rate_limits import PAUSE, Policy, RateLimiter, RequestLimits
from orchestrator.settings import Settings
from tests.ledger import ledger
from tests.redis_server import RedisServer

FIVE = Policy("five", 5)
T0 = 1_700_000_000.0


class Clock:
    """The time, which stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the limiter and of both its stores."""
    clock = Clock()
    for store in ("memory", "redis.redispy"):
        monkeypatch.setattr(f"limits.aio.storage.{store}.time", SimpleNamespace(time=clock))
    return clock


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that is slow because the machine is busy is waited for, not passed by."""
    monkeypatch.setattr(rate_limits, "REDIS_TIMEOUT_SECONDS", 30.0)
    monkeypatch.setattr(redis_windows, "SOCKET_TIMEOUT", 30.0)


@pytest_asyncio.fixture(params=["memory", "redis"], loop_scope="session")
async def limiter(request: pytest.FixtureRequest, clock: Clock, patient: None) -> AsyncIterator[RateLimiter]:
    url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    limiter = RateLimiter(url, clock=clock)
    yield limiter
    await limiter.aclose()


def admitted(answers: list[Allowance]) -> int:
    assert all(each.counted for each in answers)
    return sum(each.retry_after is None for each in answers)


def caller(tier: Tier | None, key: str | None = "key_1") -> Principal:
    return Principal(id="alice", scopes=frozenset(), tier=tier, key=key)


@pytest.mark.parametrize(("tier", "limit"), [(Tier.FREE, 10), (Tier.PRO, 60), (Tier.BUSINESS, 300)])
@ledger("D-065", "D-066", "C-24")
async def test_a_tier_lets_its_documented_requests_through_in_a_minute(
    tier: Tier, limit: int, limiter: RateLimiter, clock: Clock
) -> None:
    limits = RequestLimits(limiter, TIERS)
    for left in reversed(range(limit)):
        one = await limits.admit(caller(tier))
        assert one == Allowance(limit=limit, remaining=left, reset=int(T0) + 60)
    refused = await limits.admit(caller(tier))
    assert refused == Allowance(limit=limit, remaining=0, reset=int(T0) + 60, retry_after=60)
    clock.now += 20.5
    later = await limits.admit(caller(tier))
    assert later is not None
    assert (later.retry_after, later.reset) == (40, int(T0) + 60)


@ledger("D-065")
async def test_enterprise_and_the_bootstrap_key_are_not_limited() -> None:
    limits = RequestLimits(RateLimiter(), TIERS)
    assert await limits.admit(caller(Tier.ENTERPRISE)) is None
    assert await limits.admit(ADMIN) is None
    assert Allowance.unlimited(T0 + 0.5) == Allowance(limit=UNLIMITED, remaining=UNLIMITED, reset=int(T0) + 61)


@ledger("D-065")
def test_tiers_of_the_environment_replace_the_documented_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"enterprise": {"requests_per_minute": 5000, "concurrent_jobs": 100}, "free": {"concurrent_jobs": 3}}
    monkeypatch.setenv("ORCHESTRATOR_TIERS", json.dumps(given))
    tiers = Settings(_env_file=None).tier_limits()
    many = TierLimits(requests_per_minute=5000, concurrent_jobs=100, monthly_tokens=None, high_priority=True)
    assert tiers[Tier.ENTERPRISE] == many
    assert tiers[Tier.FREE] == TierLimits(concurrent_jobs=3)
    assert tiers[Tier.PRO] == TierLimits(requests_per_minute=60, concurrent_jobs=5, monthly_tokens=1_000_000)
    assert tiers[Tier.BUSINESS] == TierLimits(requests_per_minute=300, concurrent_jobs=20, monthly_tokens=10_000_000)


async def test_a_custom_tier_limits_requests(clock: Clock) -> None:
    limits = RequestLimits(RateLimiter(clock=clock), {Tier.ENTERPRISE: TierLimits(requests_per_minute=2)})
    answers = [await limits.admit(caller(Tier.ENTERPRISE)) for _ in range(3)]
    assert [one and one.remaining for one in answers] == [1, 0, 0]


@ledger("D-065")
async def test_no_minute_ever_holds_more_than_the_limit(limiter: RateLimiter, clock: Clock) -> None:
    chance = random.Random(20261121)
    times: list[float] = []
    for _ in range(300):
        clock.now += chance.choice([0.0, 0.25, 1.0, 7.5, 30.0])
        if (await limiter.hit(FIVE, "alice")).retry_after is None:
            times.append(clock.now)
    assert len(times) > 50
    assert all(late - early > FIVE.seconds for early, late in zip(times, times[FIVE.limit :], strict=False))


async def test_a_window_recovers_request_by_request_and_refusals_do_not_prolong_it(
    limiter: RateLimiter, clock: Clock
) -> None:
    for _ in range(FIVE.limit):
        await limiter.hit(FIVE, "alice")
        clock.now += 10
    refused = [await limiter.hit(FIVE, "alice") for _ in range(20)]
    assert [one.retry_after for one in refused] == [10] * 20
    clock.now += 10.25
    assert (await limiter.hit(FIVE, "alice")).retry_after is None
    assert (await limiter.hit(FIVE, "alice")).retry_after == 10
    clock.now += 60.25
    assert (await limiter.hit(FIVE, "alice")).remaining == 4


@ledger("D-065")
async def test_windows_are_per_key_and_per_policy(clock: Clock) -> None:
    limits = RequestLimits(RateLimiter(clock=clock), TIERS)
    for _ in range(10):
        await limits.admit(caller(Tier.FREE, "key_1"))
    answers = [await limits.admit(caller(Tier.FREE, key)) for key in ("key_1", "key_2", None)]
    assert [one is not None and one.remaining for one in answers] == [0, 9, 9]
    limiter = RateLimiter(clock=clock)
    await limiter.hit(FIVE, "alice")
    assert (await limiter.hit(Policy("other", 5), "alice")).remaining == 4


@ledger("D-065")
async def test_a_burst_gets_exactly_the_limit(limiter: RateLimiter) -> None:
    assert admitted(await asyncio.gather(*(limiter.hit(FIVE, "alice") for _ in range(150)))) == 5


@ledger("D-065")
async def test_two_processes_share_a_window_through_redis(redis_url: str, patient: None) -> None:
    one, other = RateLimiter(redis_url), RateLimiter(redis_url)
    hits = [limiter.hit(Policy("shared", 20), "alice") for limiter in (one, other) for _ in range(40)]
    assert admitted(await asyncio.gather(*hits)) == 20
    assert (await one.hit(Policy("shared", 20), "alice")).retry_after is not None
    for limiter in (one, other):
        await limiter.aclose()


async def test_without_redis_requests_pass_uncounted_until_it_is_back(
    redis_server: RedisServer, redis_url: str
) -> None:
    timer = Clock()
    limiter = RateLimiter(redis_url, timer=timer)
    for _ in range(6):
        last = await limiter.hit(FIVE, "alice")
    assert last.retry_after is not None
    with capture_logs() as logs:
        redis_server.kill()
        for _ in range(21):
            passed = await limiter.hit(FIVE, "alice")
            assert (passed.counted, passed.retry_after, passed.limit) == (False, None, 5)
            timer.now += PAUSE / 2
        redis_server.ready()
        assert not (await limiter.hit(FIVE, "alice")).counted  # not asked before the pause is over
        timer.now += PAUSE
        assert (await limiter.hit(FIVE, "alice")).remaining == 4  # it came back empty
        redis_server.kill()
        timer.now += 60
        assert not (await limiter.hit(FIVE, "alice")).counted
    assert [entry["event"] for entry in logs].count("limiter_unavailable") == 2  # one a minute
    await limiter.aclose()


async def test_a_redis_that_hangs_is_asked_by_one_request_at_a_time(
    redis_server: RedisServer, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    timer = Clock()
    limiter = RateLimiter(redis_url, timer=timer)
    assert (await limiter.hit(FIVE, "alice")).counted
    windows = limiter._opened()
    asked = 0
    ask = windows.hit

    async def counting(*given: object) -> bool:
        nonlocal asked
        asked += 1
        return await ask(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(windows, "hit", counting)
    redis_server.freeze()
    assert not (await limiter.hit(FIVE, "alice")).counted
    timer.now += PAUSE
    assert not any(each.counted for each in await asyncio.gather(*(limiter.hit(FIVE, "bob") for _ in range(30))))
    assert asked == 2
    redis_server.thaw()
    timer.now += PAUSE
    assert (await limiter.hit(FIVE, "carol")).remaining == 4
    await limiter.aclose()


@pytest.mark.parametrize("limit", sorted(ALWAYS_COUNTED))
async def test_what_strangers_could_abuse_is_counted_here_while_redis_is_away(limit: SurfaceLimit) -> None:
    limiter = RateLimiter("redis://127.0.0.1:1/0")
    limits = RequestLimits(limiter, TIERS, {limit: Window(limit=3, seconds=60)})
    answers = [await limits.admit_surface(limit, "address:192.0.2.1") for _ in range(5)]
    assert [one.retry_after is None for one in answers] == [True] * 3 + [False] * 2
    assert all(one.counted for one in answers)
    assert (await limits.admit_surface(limit, "address:192.0.2.2")).retry_after is None
    await limiter.aclose()
