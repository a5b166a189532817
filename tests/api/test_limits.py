"""Limits as a caller meets them: headers on every response, 429 with a time to come back, and slots that never leak."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from fastapi import FastAPI

from orchestrator.domain.access import Principal, Scope
from orchestrator.domain.commands import AgentTask, ReconcileRequest
from orchestrator.domain.errors import Unauthenticated
from orchestrator.domain.jobs import OPEN_STATES, AttemptStatus, CallStatus
from orchestrator.domain.limits import TIERS, UNLIMITED, Tier
from orchestrator.domain.usage import Usage
from orchestrator.services.access.rate_limits import RateLimiter, RequestLimits
from orchestrator.testing import TESTER, Engine, eventually
from tests.api.conftest import ADMIN, over, served
from tests.ledger import ledger
from tests.redis_server import RedisServer

LIMIT, REMAINING, RESET = "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"
AT_ONCE = ReconcileRequest(grace=-1.0)
EVERYTHING = frozenset(Scope) - {Scope.ADMIN}
SLOW: dict[str, Any] = {"input": {"seconds": 60}, "async": True}


class Tiered:
    """Knows two keys of one owner: the tier is the token's first word."""

    def recognises(self, token: str) -> bool:
        return token.partition("-")[0] in set(Tier)

    async def authenticate(self, token: str | None) -> Principal:
        tier, _, owner = (token or "").partition("-")
        if tier not in set(Tier):
            raise Unauthenticated("The API key is not valid")
        return Principal(id=owner.removesuffix("#2"), scopes=EVERYTHING, tier=Tier(tier), key=token)


@pytest.fixture
def limited(app_with: Callable[..., FastAPI]) -> FastAPI:
    """The application with keys of every tier, and windows of its own."""
    return app_with(access=Tiered(), limits=RequestLimits(RateLimiter(), TIERS))


def key(tier: Tier, owner: str | None = None) -> dict[str, str]:
    return {"Authorization": f"Bearer {tier}-{owner or uuid4().hex}"}


@pytest.fixture
async def pro(limited: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a new owner with five slots."""
    async with over(limited, **key(Tier.PRO)) as opened:
        yield opened


def owner_of(client: httpx2.AsyncClient) -> str:
    return client.headers["Authorization"].partition("-")[2]


async def run(client: httpx2.AsyncClient, target: str = "t_slow", **headers: str) -> httpx2.Response:
    return await client.post(f"/v1/workflows/{target}/run", json=SLOW, headers=headers)


async def used(client: httpx2.AsyncClient) -> int:
    return int((await client.get("/v1/limits")).json()["concurrent_jobs"]["used"])


async def stop_all(running: Engine, client: httpx2.AsyncClient) -> None:
    """Cancel the caller's jobs and see their slots freed, without a request of the caller's own."""

    async def still_open() -> list[str]:
        rows, _ = await running.parts.backend.jobs.list(
            owner=owner_of(client), states=sorted(OPEN_STATES), kind=None, definition=None, limit=100, offset=0
        )
        return [row.id for row in rows]

    cancel = running.services.controller.cancel
    await asyncio.gather(*(cancel(TESTER, job_id, reason="the test is over") for job_id in await still_open()))
    await eventually(still_open, lambda found: found == [])


def headers_of(answer: httpx2.Response) -> tuple[int, int, int]:
    return int(answer.headers[LIMIT]), int(answer.headers[REMAINING]), int(answer.headers[RESET])


@ledger("D-065", "D-066", "D-067", "C-16", "C-25")
async def test_the_eleventh_request_of_a_free_key_is_refused_in_the_documented_words(limited: FastAPI) -> None:
    async with over(limited, **key(Tier.FREE)) as client:
        begin = time.time()
        for left in reversed(range(10)):
            answer = await client.get("/v1/agents")
            assert answer.status_code == 200
            limit, remaining, reset = headers_of(answer)
            assert (limit, remaining) == (10, left)
            assert begin + 59 < reset <= time.time() + 61
        refused = await client.get("/v1/agents")
        assert (await client.get("/v1/limits")).status_code == 429
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert set(refused.json()) == {"error"}
    assert set(error) == {"code", "message", "retry_after", "details", "request_id", "timestamp"}
    seconds = error["retry_after"]
    assert 0 < seconds <= 60
    assert (error["code"], error["message"]) == (
        "rate_limit_exceeded",
        f"Rate limit exceeded. Retry after {seconds} seconds.",
    )
    assert refused.headers["Retry-After"] == str(seconds)
    assert headers_of(refused)[:2] == (10, 0)
    assert error["details"]["limit"] == "requests_per_minute"


@ledger("D-065", "C-24")
async def test_windows_are_per_key_and_unknown_keys_count_for_nobody(limited: FastAPI) -> None:
    first = key(Tier.FREE)
    async with over(limited) as client:
        for _ in range(15):
            assert (await client.get("/v1/agents", headers={"Authorization": "Bearer wrong"})).status_code == 401
        for _ in range(10):
            assert (await client.get("/v1/agents", headers=first)).status_code == 200
        assert (await client.get("/v1/agents", headers=first)).status_code == 429
        second = {"Authorization": f"{first['Authorization']}#2"}
        assert headers_of(await client.get("/v1/agents", headers=second))[:2] == (10, 9)


@ledger("D-066", "C-25")
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/agents", 200),
        ("GET", "/v1/agents/unheard_of", 404),
        ("GET", "/v1/jobs?limit=0", 400),
        ("POST", "/v1/workflows/t_three/run", 400),
        ("GET", "/v1/limits", 200),
    ],
)
async def test_responses_to_a_limited_caller_tell_what_is_left(
    pro: httpx2.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await pro.request(method, path, json={} if method == "POST" else None)
    assert answer.status_code == status
    assert headers_of(answer)[:2] == (60, 59)


@ledger("D-066", "C-25")
@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/v1/agents", ADMIN, 200),
        ("GET", "/v1/agents", {}, 401),
        ("GET", "/no/such/path", {}, 404),
        ("PUT", "/v1/agents", {}, 405),
        ("POST", "/v1/workflows/t_three/run", {**ADMIN, "Content-Length": "9999999"}, 413),
        ("GET", "/healthz", {}, 200),
        ("GET", "/readyz", {}, 200),
        ("GET", "/metrics", {}, 200),
        ("GET", "/openapi.json", {}, 200),
        ("GET", "/docs", {}, 200),
    ],
)
async def test_responses_to_nobody_in_particular_carry_the_headers_too(
    app: FastAPI, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    async with over(app) as client:
        answer = await client.request(method, path, headers=headers)
    assert answer.status_code == status
    limit, remaining, reset = headers_of(answer)
    assert (limit, remaining) == (UNLIMITED, UNLIMITED)
    assert abs(reset - time.time() - 60) < 10


@ledger("D-066")
async def test_a_fault_of_ours_a_refused_scope_and_a_fault_of_a_part_carry_the_headers(
    app_with: Callable[..., FastAPI],
) -> None:
    class Weak(Tiered):
        async def authenticate(self, token: str | None) -> Principal:
            found = await super().authenticate(token)
            return Principal(id=found.id, scopes=frozenset({Scope.AGENTS_READ}), tier=found.tier, key=found.key)

    windows = RequestLimits(RateLimiter(), TIERS)
    app = app_with(access=Weak(), limits=windows, catalogue=None)
    async with over(app, **key(Tier.PRO)) as client:
        broken, forbidden = await client.get("/v1/agents"), await client.get("/v1/jobs")
    assert (broken.status_code, headers_of(broken)[:2]) == (500, (60, 59))
    assert (forbidden.status_code, headers_of(forbidden)[:2]) == (403, (60, 58))
    async with over(app_with(access=None)) as client:
        outside = await client.get("/v1/agents")
    assert (outside.status_code, headers_of(outside)[0]) == (500, UNLIMITED)


@ledger("D-066")
async def test_an_event_stream_carries_the_headers(limited: FastAPI) -> None:
    async with served(limited) as url, httpx2.AsyncClient(base_url=url, headers=key(Tier.PRO)) as client:
        started = await client.post("/v1/workflows/t_three/run", json={"input": {}, "async": True})
        job_id = started.json()["job_id"]
        assert (started.status_code, headers_of(started)[:2]) == (202, (60, 59))
        wanted = {"Accept": "text/event-stream"}
        async with client.stream("GET", f"/v1/jobs/{job_id}/events", headers=wanted) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert headers_of(answer)[:2] == (60, 58)


@ledger("D-065", "D-068", "C-28")
async def test_fifty_starts_at_once_run_exactly_five_jobs(pro: httpx2.AsyncClient, running: Engine) -> None:
    answers = await asyncio.gather(*(run(pro) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [202] * 5 + [429] * 45
    refused = next(answer for answer in answers if answer.status_code == 429)
    error = refused.json()["error"]
    assert (error["code"], error["retry_after"], refused.headers["Retry-After"]) == ("rate_limit_exceeded", 5, "5")
    assert error["message"].startswith("5 of 5 concurrent jobs are running")
    assert error["details"]["limit"] == "concurrent_jobs"
    accepted = {answer.json()["job_id"] for answer in answers if answer.status_code == 202}
    assert set(error["details"]["job_ids"]) == accepted
    assert await used(pro) == 5
    await stop_all(running, pro)
    again = await pro.post("/v1/agents/t_echo/execute", json={"input": {}})
    assert (again.status_code, again.json()["status"]) == (200, "completed")


@ledger("D-068")
async def test_a_replay_has_its_job_whatever_the_limits_say(limited: FastAPI, running: Engine) -> None:
    async with over(limited, **key(Tier.FREE)) as client:
        first = await run(client, **{"Idempotency-Key": "one"})
        assert (await run(client)).status_code == 429
        for _ in range(2):
            replay = await run(client, **{"Idempotency-Key": "one"})
            assert (replay.status_code, replay.headers["Idempotency-Replayed"]) == (202, "true")
            assert replay.json()["job_id"] == first.json()["job_id"]
            await spend(running, first.json()["job_id"], 100_000)
        assert (await run(client)).json()["error"]["details"]["limit"] == "monthly_tokens"
        await stop_all(running, client)


async def spend(running: Engine, job_id: str, tokens: int) -> None:
    """An attempt of the job that was billed, as the agent's activity writes it."""
    row = await running.parts.backend.jobs.get(job_id)
    assert row is not None
    step = row.job.plan.steps[0]
    task = AgentTask(
        job_id=f"{job_id}x",
        owner=row.owner,
        definition=row.definition,
        kind=row.kind,
        step=step,
        agent=step.agents[0],
        input={},
    )
    usage = Usage(prompt_tokens=tokens - 1, completion_tokens=1)
    now = datetime.now(UTC)
    await running.parts.backend.attempts.started(task, attempt=1, at=now)
    await running.parts.backend.attempts.ended(task, attempt=1, at=now, status=AttemptStatus.COMPLETED, usage=usage)
    await running.parts.backend.attempts.written(task.job_id)


@ledger("D-065", "D-068", "C-28")
async def test_a_month_without_tokens_left_refuses_agents_and_workflows(limited: FastAPI, running: Engine) -> None:
    async with over(limited, **key(Tier.FREE)) as client:
        done = await client.post("/v1/workflows/t_three/run", json={"input": {}})
        assert done.json()["status"] == "completed"
        await spend(running, done.json()["job_id"], 100_000)
        for path in ("/v1/workflows/t_three/run", "/v1/agents/t_echo/execute"):
            refused = await client.post(path, json={"input": {}})
            error = refused.json()["error"]
            assert (refused.status_code, error["code"]) == (429, "rate_limit_exceeded")
            assert error["details"] == {"limit": "monthly_tokens", "allowed": 100_000, "used": 100_000, "reserved": 0}
            assert 0 < error["retry_after"] <= 31 * 86400
        assert (await client.get("/v1/jobs")).json()["total"] == 1


@ledger("D-065")
async def test_tokens_that_agents_report_are_the_owners(limited: FastAPI, running: Engine) -> None:
    async with over(limited, **key(Tier.PRO)) as client:
        body = {"input": {"task_type": "prd", "context": "cargo bikes"}}
        done = await client.post("/v1/agents/product_manager/execute", json=body)
        assert done.json()["status"] == "completed", done.text
        total = done.json()["metrics"]["total_tokens"]
        assert total > 0
        limits = (await client.get("/v1/limits")).json()
        assert limits["monthly_tokens"]["used"] == total


@ledger("D-065", "D-066")
async def test_limits_tell_the_tier_and_what_is_used(pro: httpx2.AsyncClient, running: Engine) -> None:
    await run(pro)
    answer = await pro.get("/v1/limits")
    body = answer.json()
    assert set(body) == {"tier", "requests_per_minute", "concurrent_jobs", "monthly_tokens"}
    assert body["tier"] == "pro"
    assert body["requests_per_minute"] == {"limit": 60, "remaining": 58, "reset": headers_of(answer)[2]}
    assert body["concurrent_jobs"] == {"limit": 5, "used": 1}
    tokens = body["monthly_tokens"]
    assert (tokens["limit"], tokens["used"], tokens["reserved"]) == (1_000_000, 0, 0)  # plain code asks no model
    now = datetime.now(UTC)
    reset = datetime.fromisoformat(tokens["reset"])
    assert reset.day == 1
    assert 0 < (reset - now).total_seconds() <= 31 * 86400
    await stop_all(running, pro)


async def test_the_bootstrap_key_has_no_limits(client: httpx2.AsyncClient) -> None:
    body = (await client.get("/v1/limits")).json()
    assert body["tier"] is None
    assert body["requests_per_minute"] == {"limit": None, "remaining": None, "reset": None}
    assert (body["concurrent_jobs"]["limit"], body["monthly_tokens"]["limit"]) == (None, None)


@ledger("D-065", "C-28")
async def test_a_crash_leaks_no_slot(limited: FastAPI, running: Engine) -> None:
    parts = running.parts
    async with over(limited, **key(Tier.FREE)) as client:
        job_id = (await run(client)).json()["job_id"]
        await running.eventually(job_id, lambda job: job.calls[0].status is CallStatus.RUNNING)
        await parts.backend.client.get_workflow_handle(job_id).terminate(reason="killed")
        await parts.workers.reconciler.reconcile(AT_ONCE)
        assert await used(client) == 0
        # A process that died between the row and Temporal: the row is there, its start got no answer.
        row = await parts.backend.jobs.get(job_id)
        assert row is not None
        lost = row.job.model_copy(update={"job_id": f"{job_id}lost"})
        assert await parts.backend.jobs.accept(lost, request_hash="x", at=row.created_at, limit=1) is None
        await parts.backend.jobs.doubtful(lost.job_id)
        assert (await run(client)).status_code == 429
        await parts.workers.reconciler.reconcile(AT_ONCE)
        assert (await run(client)).status_code == 202
        await stop_all(running, client)


@ledger("C-24")
async def test_without_redis_every_request_is_answered_and_counted_as_such(
    app_with: Callable[..., FastAPI], redis_server: RedisServer, redis_url: str
) -> None:
    limiter = RateLimiter(redis_url)
    app = app_with(access=Tiered(), limits=RequestLimits(limiter, TIERS))
    async with over(app, **key(Tier.FREE)) as client:
        assert headers_of(await client.get("/v1/agents"))[:2] == (10, 9)
        redis_server.kill()
        for _ in range(12):
            answer = await client.get("/v1/agents")
            assert (answer.status_code, *headers_of(answer)[:2]) == (200, 10, 10)
        metrics = (await client.get("/metrics")).text
    assert "orchestrator_limiter_unavailable_total 12.0" in metrics
    await limiter.aclose()


async def test_the_headers_of_the_ietf_draft_say_the_same(limited: FastAPI) -> None:
    async with over(limited, **key(Tier.FREE)) as free:
        first = await free.get("/v1/limits")
        own = await free.get("/api/agents")
        refused = [await free.get("/v1/limits") for _ in range(9)][-1]
    assert first.headers["RateLimit-Policy"] == '"requests_per_minute";q=10;w=60'
    assert first.headers["RateLimit"] in [f'"requests_per_minute";r=9;t={seconds}' for seconds in range(58, 62)]
    assert own.headers["RateLimit"].startswith('"requests_per_minute";r=8;')  # of two windows the one with less left
    assert (refused.status_code, refused.headers["x-should-retry"]) == (429, "true")
    assert refused.headers["RateLimit"].startswith('"requests_per_minute";r=0;')
    async with over(limited) as nobody:
        assert "RateLimit" not in (await nobody.get("/v1/limits")).headers
