"""Partnerships, decisions and deployment over the whole product (S)."""

import asyncio
import contextlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
from fastapi import FastAPI
from pwdlib import PasswordHash
from pydantic import SecretStr

from api.dialects.devskyy.routes import router
from api.v1 import orchestration
from orchestrator.composition.backend import now
from orchestrator.domain.access import Role, Scope
from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.findings import Finding
from orchestrator.domain.jobs import Job, JobState
from orchestrator.domain.limits import SURFACE_LIMITS, SurfaceLimit
from orchestrator.domain.names import OFFLINE_MODEL
from orchestrator.services.access.authentication import Authenticator, BootstrapKey
from orchestrator.services.access.rate_limits import RateLimiter, RequestLimits
from orchestrator.services.access.tokens import Claims, TokenType
from orchestrator.services.access.users import Accounts, BootstrapUser, SignedTokens, UserAccounts
from orchestrator.services.jobs.decisions import DecisionMaker
from orchestrator.services.reports.deployment import Deployment
from orchestrator.services.reports.partnerships import PartnershipReader
from orchestrator.storage.users import UserRepository
from orchestrator.storage.work import WorkRepository
from orchestrator.testing import ADMIN_KEY, Engine, GivenSettings, running_engine
from tests.api.conftest import ADMIN, over, served
from tests.api.surface_documents import operations
from tests.ledger import ledger

Make = Callable[..., FastAPI]
BASE = "/api/v1/orchestration"
READS = ["/health", "/metrics", "/partnerships", "/status", "/config", "/deployment/readiness"]
CONTEXT = {"business_goal": "increase_revenue", "timeframe": "Q1_2025", "budget": 50000}
ROOT = Path(__file__).parents[2]


def fresh_limits(**changes: Any) -> RequestLimits:
    return RequestLimits(RateLimiter(), {}, {**SURFACE_LIMITS, **changes})


@pytest.fixture
def make(app_with: Make, running: Engine) -> Make:
    """An application with the documented bootstrap user, whose limits have counted nothing yet."""
    on, signer = running.parts.backend, running.services.users.signer
    rows, bootstrap = UserRepository(on.database), BootstrapUser("admin", SecretStr("password"))
    accounts = Accounts(rows, signer, bootstrap=bootstrap)
    users = UserAccounts(rows, accounts, signer, bootstrap=bootstrap, clock=now)
    kinds = [BootstrapKey(SecretStr(ADMIN_KEY)), on.issued_keys, SignedTokens(signer, accounts, clock=now)]

    def fresh(**changes: Any) -> FastAPI:
        return app_with(**{"limits": fresh_limits(), "users": users, "access": Authenticator(kinds), **changes})

    return fresh


@pytest.fixture
def as_user(running: Engine) -> Callable[..., dict[str, str]]:
    """The headers of a user with these roles."""

    def headers(*roles: str, name: str = "ada") -> dict[str, str]:
        until = now() + timedelta(minutes=5)
        claims = Claims(name, TokenType.ACCESS, until, roles=roles)
        return {"Authorization": f"Bearer {running.services.users.signer.sign(claims)}"}

    return headers


AsUser = Callable[..., dict[str, str]]


async def login(client: httpx2.AsyncClient, password: str = "password") -> httpx2.Response:
    return await client.post("/api/v1/auth/login", json={"username": "admin", "password": password})


def claims(token: str) -> dict[str, Any]:
    body: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return body


@ledger("S-002", "S-003", "S-004", "S-006", "S-008", "S-009", "S-011", "C-20")
async def test_a_login_gives_tokens_that_open_every_route(make: Make):
    async with over(make()) as client:
        answer = await login(client)
        body = answer.json()
        headers = {"Authorization": f"Bearer {body['access_token']}"}
        entries = [await client.get(BASE + path, headers=headers) for path in READS]
        decided = await client.post(f"{BASE}/decisions", headers=headers, json={"context": CONTEXT})
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert set(body) == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert (body["token_type"], body["expires_in"]) == ("bearer", 900)
    access, refresh = claims(body["access_token"]), claims(body["refresh_token"])
    lives = (access["exp"] - access["iat"], refresh["exp"] - refresh["iat"])
    assert lives == pytest.approx((15 * 60, 7 * 24 * 3600), abs=5)  # The sign-in is stored between the two times.
    assert access["roles"] == ["admin"]
    assert [one.status_code for one in (*entries, decided)] == [200] * 7


@ledger("S-006", "S-021")
@pytest.mark.parametrize(("username", "password"), [("admin", "wrong"), ("nobody", "password")])
async def test_a_failed_login_does_not_say_what_was_wrong(
    make: Make, monkeypatch: pytest.MonkeyPatch, username: str, password: str
):
    hashed: list[str] = []
    monkeypatch.setattr(PasswordHash, "hash", lambda _, given: hashed.append(given))
    async with over(make()) as client:
        answer = await client.post("/api/v1/auth/login", json={"username": username, "password": password})
    assert answer.status_code == 401
    assert hashed == [password]  # neither does the time that it takes
    assert answer.json() == {
        "detail": "The user name or the password is wrong",
        "error": "Unauthorized",
        "message": "The user name or the password is wrong",
    }


@ledger("S-007", "S-004", "C-21")
async def test_a_refresh_token_is_used_once_and_a_second_use_ends_them_all(make: Make):
    async with over(make()) as client:
        first = (await login(client)).json()
        second = await client.post("/api/v1/auth/refresh", json={"refresh_token": first["refresh_token"]})
        stolen = await client.post("/api/v1/auth/refresh", json={"refresh_token": first["refresh_token"]})
        void = await client.post("/api/v1/auth/refresh", json={"refresh_token": second.json()["refresh_token"]})
        access = await client.post("/api/v1/auth/refresh", json={"refresh_token": first["access_token"]})
    assert set(second.json()) == set(first)
    assert claims(second.json()["access_token"])["roles"] == ["admin"]
    assert [one.status_code for one in (second, stolen, void, access)] == [200, 401, 401, 401]


@ledger("C-27", "C-16")
async def test_ten_sign_ins_in_a_quarter_of_an_hour(make: Make):
    async with over(make()) as client:
        tried = [await login(client, "wrong") for _ in range(10)]
        refused = await login(client)
        elsewhere = await client.get(f"{BASE}/docs/endpoints")
    assert [one.status_code for one in tried] == [401] * 10
    assert refused.status_code == 429
    assert 60 < int(refused.headers["Retry-After"]) <= 900
    assert (refused.headers["X-RateLimit-Limit"], refused.headers["X-RateLimit-Remaining"]) == ("10", "0")
    assert elsewhere.status_code == 200


@ledger("C-27")
async def test_ten_keys_in_a_quarter_of_an_hour_but_for_the_bootstrap_key(make: Make, key: Callable[..., Any]):
    body = {"name": "x", "scopes": ["jobs:read"]}
    issuer = await key({Scope.ADMIN})
    async with over(make()) as client:
        issued = [await client.post("/v1/auth/api-keys", json=body, headers=issuer) for _ in range(11)]
        bootstrap = await client.post("/v1/auth/api-keys", json=body, headers=ADMIN)
    assert [one.status_code for one in issued] == [201] * 10 + [429]
    assert issued[-1].json()["error"]["code"] == "rate_limit_exceeded"
    assert bootstrap.status_code == 201


async def statuses(client: httpx2.AsyncClient, headers: dict[str, str]) -> dict[str, int]:
    status = {path: (await client.get(BASE + path, headers=headers)).status_code for path in READS}
    answer = await client.post(f"{BASE}/decisions", headers=headers, json={"context": CONTEXT})
    return {**status, "/decisions": answer.status_code}


@ledger("S-005", "S-009", "S-019", "S-021", "C-22", "C-23")
async def test_each_role_opens_what_it_should(make: Make, as_user: AsUser):
    async with over(make()) as client:
        seen = {role: await statuses(client, as_user(role)) for role in Role}
    assert set(seen[Role.ADMIN].values()) == {200}
    for role in (Role.ORCHESTRATION_MANAGER, Role.SYSTEM_ADMIN):
        assert seen[role] == {**seen[Role.ADMIN], "/config": 403}


@ledger("S-005", "S-009", "S-021", "C-06")
@pytest.mark.parametrize(
    ("roles", "status", "word"), [((), 403, "Forbidden"), (("guest",), 403, "Forbidden"), (None, 401, "Unauthorized")]
)
async def test_without_a_role_nothing_opens(
    make: Make, as_user: AsUser, roles: tuple[str, ...] | None, status: int, word: str
):
    async with over(make()) as client:
        headers = {} if roles is None else as_user(*roles)
        assert set((await statuses(client, headers)).values()) == {status}
        answer = await client.get(f"{BASE}/health", headers=headers)
    assert answer.json()["error"] == word
    assert (answer.headers.get("WWW-Authenticate") == "Bearer") == (status == 401)


async def test_a_token_that_says_nothing_of_roles_has_none(make: Make, running: Engine):
    secret = running.parts.backend.sealer.derived("tokens").hex()
    token = jwt.encode({"sub": "ada", "exp": now() + timedelta(minutes=5)}, secret, "HS256")
    async with over(make(), Authorization=f"Bearer {token}") as client:
        assert (await client.get(f"{BASE}/health")).status_code == 403


@ledger("C-69", "S-024", "S-030", "C-06")
@pytest.mark.parametrize(
    ("scopes", "health", "config"),
    [
        ({Scope.AGENTS_EXECUTE, Scope.METRICS_READ}, 200, 403),
        ({Scope.ADMIN}, 200, 200),
        ({Scope.METRICS_READ}, 403, 403),
        ({Scope.AGENTS_EXECUTE, Scope.JOBS_READ}, 403, 403),
    ],
)
async def test_a_load_balancer_comes_with_an_api_key(
    make: Make, key: Callable[..., Any], scopes: set[Scope], health: int, config: int
):
    async with over(make(), **await key(scopes)) as client:
        assert (await client.get(f"{BASE}/health")).status_code == health
        assert (await client.get(f"{BASE}/config")).status_code == config


@ledger("S-010", "S-022", "S-023", "S-024", "C-16", "C-24", "C-25")
async def test_a_hundred_requests_a_minute_of_one_client(make: Make, as_user: AsUser, key: Callable[..., Any]):
    mine, others = as_user("admin"), as_user("admin", name="grace")
    a_key = await key({Scope.ADMIN})
    async with over(make()) as client:
        within = [await client.get(f"{BASE}/health", headers=mine) for _ in range(100)]
        refused = await client.get(f"{BASE}/metrics", headers=mine)
        unaffected = [await client.get(f"{BASE}/health", headers=headers) for headers in (others, a_key, ADMIN)]
    assert {one.status_code for one in within} == {200}
    assert [int(one.headers["X-RateLimit-Remaining"]) for one in within] == list(range(99, -1, -1))
    assert {one.headers["X-RateLimit-Limit"] for one in within} == {"100"}
    assert int(within[0].headers["X-RateLimit-Reset"]) > 0
    assert refused.status_code == 429
    assert set(refused.json()) == {"detail", "error", "message"}
    assert refused.json()["error"] == "Too Many Requests"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert [one.status_code for one in unaffected] == [200] * 3
    assert SURFACE_LIMITS[SurfaceLimit.ORCHESTRATION].limit == 100


@ledger("S-024")
async def test_who_is_not_known_is_counted_by_address(app_with: Make):
    two = SURFACE_LIMITS[SurfaceLimit.ORCHESTRATION].model_copy(update={"limit": 2})
    app = app_with(limits=fresh_limits(orchestration=two))
    async with over(app) as client:
        status = [(await client.get(f"{BASE}/health")).status_code for _ in range(3)]
    assert status == [401, 401, 429]


@ledger("S-021", "C-11", "C-13", "C-68")
@pytest.mark.parametrize(
    ("asked", "body", "status"),
    [
        pytest.param("POST /decisions", {}, 400, id="no-context"),
        pytest.param("POST /decisions", {"context": "grow"}, 400, id="not-an-object"),
        pytest.param("POST /decisions", {"context": {"x": "\ud800"}}, 400, id="no-unicode"),
        pytest.param("POST /decisions", {"context": {"x": "y" * 4_200_000}}, 413, id="too-large"),
        pytest.param("GET /nothing", None, 404, id="unknown-path"),
        pytest.param("DELETE /decisions", None, 405, id="method"),
    ],
)
async def test_errors_have_one_shape(make: Make, as_user: AsUser, asked: str, body: Any, status: int):
    method, path = asked.split()
    headers = {**as_user("admin"), "Content-Type": "application/json"}
    async with over(make(), **headers) as client:
        answer = await client.request(method, BASE + path, content=json.dumps(body))
    content = answer.json()
    assert answer.status_code == status
    assert set(content) == {"detail", "error", "message"}
    assert content["detail"] == content["message"]
    assert content["error"] == HTTPStatus(status).phrase


@ledger("S-010", "S-021")
async def test_a_fault_of_ours_shows_nothing_of_itself(make: Make, as_user: AsUser):
    class Broken:
        async def report(self) -> None:
            raise RuntimeError("the password is hunter2")

    async with over(make(partnerships=Broken()), **as_user("admin")) as client:
        answer = await client.get(f"{BASE}/health")
    assert answer.status_code == 500
    assert answer.json()["error"] == "Internal Server Error"
    assert "hunter2" not in answer.text


@ledger("S-012", "S-013", "S-016", "S-017", "S-001", "C-04", "C-05")
async def test_partnerships_are_measured(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin], as_user: AsUser
):
    from api.app import create_app
    from tests.api.conftest import Fixed

    async with running_engine(temporal_address, tmp_path, orchestrator_plugins) as engine:
        for _ in range(2):
            await engine.run("t_echo", {})
        await engine.run("t_flaky", {"failures": 1})
        await engine.run("t_flaky", {"failures": 9})
        drafted = await engine.run("backend_developer", {"description": "A ledger"})
        assert drafted.state is JobState.COMPLETED, drafted.error
        async with over(create_app(Fixed(engine.services)), **ADMIN) as client:
            health = (await client.get(f"{BASE}/health")).json()
            metrics = (await client.get(f"{BASE}/metrics")).json()
            status = (await client.get(f"{BASE}/partnerships")).json()
    assert set(health) == {"status", "partnerships", "last_updated"}
    assert health["status"] == "healthy"
    assert datetime.fromisoformat(health["last_updated"]).utcoffset() == timedelta(0)
    fare = health["partnerships"]
    assert fare["cursor_technical"] == fare["backend_squad"] == {"health": "excellent", "score": 100.0}
    assert fare["grok_brand"] == {"health": "unknown", "score": 0.0}
    # Eight attempts: two echoes, a failure and its success, four failures in a row.
    assert fare["testing_squad"] == {"health": "poor", "score": 37.5}

    figures = {one["partnership_type"]: one for one in metrics}
    assert list(figures) == list(fare)
    assert set(figures["cursor_technical"]) == {"partnership_type", "metrics", "timestamp"}
    assert set(figures["cursor_technical"]["metrics"]) == {"uptime", "response_time", "success_rate"}
    assert figures["testing_squad"]["metrics"]["success_rate"] == 37.5
    assert figures["testing_squad"]["metrics"]["uptime"] == 100.0
    assert figures["cursor_technical"]["metrics"]["response_time"] > 0
    assert figures["grok_brand"]["metrics"] == {"uptime": 100.0, "response_time": 0.0, "success_rate": 0.0}

    entries = {one["id"]: one for one in status}
    assert set(entries["cursor_technical"]) == {"id", "name", "health", "progress", "deliverables"}
    assert entries["cursor_technical"]["name"] == "Cursor Technical Partnership"
    assert entries["cursor_technical"]["deliverables"] == [{"name": "Backend Developer", "progress": 100.0}]
    # Four calls were begun: two alone, two in step `a` of a workflow, one of which was never completed.
    assert entries["testing_squad"]["progress"] == 75.0
    assert entries["testing_squad"]["deliverables"] == [
        {"name": "A", "progress": 50.0},
        {"name": "t_echo", "progress": 100.0},
    ]


class Seen:
    """Readiness as it is reported."""

    def __init__(self, **parts: str) -> None:
        self.parts = {"temporal": "ok", "database": "ok", "worker": "ok", **parts}

    async def checks(self) -> list[Finding]:
        return [Finding.of(name, ok=message == "ok", message=message) for name, message in self.parts.items()]


def reader(running: Engine, seen: Seen) -> PartnershipReader:
    work = WorkRepository(running.parts.backend.reports)
    return PartnershipReader(running.parts.catalogue, running.services.metrics, work, seen, clock=now)  # type: ignore[arg-type]


@ledger("S-012", "S-026", "S-030")
async def test_health_says_when_something_is_missing(make: Make, running: Engine, as_user: AsUser):
    idle = make(partnerships=reader(running, Seen(worker="no worker")))
    gone = make(partnerships=reader(running, Seen(temporal="no answer")))
    async with over(idle, **as_user("admin")) as client:
        degraded = await client.get(f"{BASE}/health")
    async with over(gone, **as_user("admin")) as client:
        down = await client.get(f"{BASE}/health")
    assert (degraded.status_code, degraded.json()["status"]) == (200, "degraded")
    assert down.status_code == 503
    assert down.json()["message"] == "temporal: no answer"
    assert int(down.headers["Retry-After"]) >= 1


@ledger("S-014", "S-015", "S-025")
async def test_a_decision_uses_its_context_and_is_a_job(make: Make, as_user: AsUser):
    async with over(make(), **as_user("orchestration_manager")) as client:
        answer = await client.post(f"{BASE}/decisions", json={"context": CONTEXT})
        job = await client.get(f"/v1/jobs/{answer.headers['X-Job-Id']}")
        foreign = await client.get(
            f"/v1/jobs/{answer.headers['X-Job-Id']}", headers=as_user("orchestration_manager", name="eve")
        )
        agents = (await client.get("/v1/agents")).json()["agents"]
    body = answer.json()
    assert answer.status_code == 200
    assert set(body) == {"decision", "rationale", "implementation_plan", "success_metrics", "risk_mitigation"}
    assert re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+", body["decision"])
    assert [phase["phase"] for phase in body["implementation_plan"]] == [1, 2, 3]
    assert all(set(phase) == {"phase", "action", "timeline"} for phase in body["implementation_plan"])
    assert all("Q1_2025" in phase["timeline"] for phase in body["implementation_plan"])
    assert body["success_metrics"]
    assert body["risk_mitigation"]
    for given in ("increase_revenue", "Q1_2025", "50000", "Offline draft"):
        assert given in body["rationale"]
    assert (job.status_code, job.json()["status"]) == (200, "completed")
    assert foreign.status_code == 404
    assert "decision_strategist" not in {agent["id"] for agent in agents}


@ledger("S-014", "S-025")
async def test_a_decision_of_the_offline_drafter_takes_the_short_way(make: Make, running: Engine):
    at = running.services
    quick = DecisionMaker(at.starter, at.follower, at.outputs, model=OFFLINE_MODEL)
    async with over(make(decisions=quick), **ADMIN) as client:
        answer = await client.post(f"{BASE}/decisions", json={"context": CONTEXT})
        job = (await client.get(f"/v1/jobs/{answer.headers['X-Job-Id']}")).json()
    events = (await running.history(answer.headers["X-Job-Id"])).events
    assert answer.json()["decision"] == "PILOT_INCREASE_REVENUE"
    assert job["status"] == "completed"
    assert not [event for event in events if event.HasField("activity_task_scheduled_event_attributes")]


@ledger("S-014")
async def test_a_decision_that_takes_too_long_names_its_job(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]
):
    from dataclasses import replace

    from api.app import create_app
    from tests.api.conftest import Fixed

    async with running_engine(temporal_address, tmp_path, orchestrator_plugins, worker=False) as engine:
        at = engine.services
        hasty = DecisionMaker(at.starter, at.follower, at.outputs, patience=0.2)
        async with over(create_app(Fixed(replace(at, decisions=hasty))), **ADMIN) as client:
            answer = await client.post(f"{BASE}/decisions", json={"context": CONTEXT})
            job = await client.get(f"/v1/jobs/{answer.headers['X-Job-Id']}")
    assert answer.status_code == 503
    assert answer.headers["X-Job-Id"] in answer.json()["message"]
    assert int(answer.headers["Retry-After"]) >= 1
    assert job.json()["status"] == "queued"


async def test_a_decision_whose_job_fails_is_a_fault_that_names_it(make: Make, running: Engine):
    class Ended:
        async def until_end(self, *_: Any, **__: Any) -> Job:
            return failed

    failed = await running.run("t_broken", {})
    assert failed.state is JobState.FAILED
    maker = DecisionMaker(running.services.starter, Ended(), running.services.outputs)  # type: ignore[arg-type]
    async with over(make(decisions=maker), **ADMIN) as client:
        answer = await client.post(f"{BASE}/decisions", json={"context": {}})
    assert answer.status_code == 503
    assert f"{failed.id} ended as FAILED without a decision" in answer.json()["message"]


@ledger("S-018", "C-68")
async def test_status_reports_components_resources_and_activity(make: Make, as_user: AsUser):
    async with over(make(), **as_user("orchestration_manager", name="watcher")) as client:
        decided = await client.post(f"{BASE}/decisions", json={"context": CONTEXT})
        body = (await client.get(f"{BASE}/status")).json()
        everybody = (await client.get(f"{BASE}/status", headers=as_user("admin"))).json()
    assert set(body) == {"system_health", "resource_usage", "recent_activity"}
    assert body["system_health"] == {
        **{name: {"status": "healthy", "message": "ok"} for name in ("temporal", "database", "worker", "cache")},
        "models": {
            "status": "degraded",
            "message": "no provider is configured here: answers are drafted offline",
        },
    }
    usage = body["resource_usage"]
    assert usage["rss_bytes"] > 10_000_000
    assert usage["open_files"] <= usage["open_files_limit"]
    assert usage["cpu_seconds"] > 0
    assert [one["job_id"] for one in body["recent_activity"]] == [decided.headers["X-Job-Id"]]
    assert body["recent_activity"][0]["status"] == "completed"
    assert len(everybody["recent_activity"]) > 1


@ledger("S-019", "S-010")
async def test_the_configuration_shows_no_secret(make: Make, running: Engine, as_user: AsUser):
    secrets = {
        name: SecretStr(f"hidden-{name}-0123456789")
        for name, field in GivenSettings.model_fields.items()
        if "SecretStr" in str(field.annotation)
    }
    secrets["redis_url"] = SecretStr("redis://:hidden-word@cache.example:6379/0")
    settings = GivenSettings(
        **secrets,
        database_url="postgresql://someone:hidden-p%40ss@db.example/index?password=hidden-too",
        llm_base_url="https://hidden-user:hidden-word@llm.example/v1?key=hidden-key",
        task_queue="orders",
    )
    shown = Deployment(settings, running.services.readiness, running.services.limits)
    async with over(make(deployment=shown), **as_user("admin")) as client:
        answer = await client.get(f"{BASE}/config")
    body = answer.json()
    assert len(secrets) >= 8
    assert "hidden" not in answer.text
    assert body["secrets_configured"] == dict.fromkeys(secrets, True)
    assert body["settings"]["task_queue"] == "orders"
    assert body["settings"]["database_url"] == "postgresql+psycopg://db.example/index"
    assert body["settings"]["llm_base_url"] == "https://llm.example/v1"
    assert body["settings"]["surface_limits"]["orchestration"] == {"limit": 100, "seconds": 60}


@ledger("S-019", "S-029")
def test_what_is_secret_is_typed_so():
    plain = {name for name, field in GivenSettings.model_fields.items() if "SecretStr" not in str(field.annotation)}
    assert [name for name in plain if re.search("key|secret|password|token", name)] == ["secrets_dir"]


@ledger("S-029", "S-028")
def test_the_documented_variables_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from orchestrator.settings import Settings

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JWT_SECRET_KEY", "your-secret-key-of-32-bytes-or-more")
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:pass@host:5432/db")
    monkeypatch.setenv("REDIS_URL", "redis://host:6379/0")
    settings = Settings()
    assert settings.jwt_secret_key is not None
    assert settings.jwt_secret_key.get_secret_value() == "your-secret-key-of-32-bytes-or-more"
    assert settings.index_url() == "postgresql+psycopg://user:pass@host:5432/db"
    assert settings.redis_url is not None


@ledger("S-020", "S-028", "C-68")
async def test_readiness_for_production_is_checked_not_claimed(make: Make, running: Engine):
    class Counting:
        def __init__(self, *, counted: bool) -> None:
            self.counted = counted

        async def admit_surface(self, limit: SurfaceLimit, client: str) -> Any:
            allowance = await fresh_limits().admit_surface(limit, client)
            return allowance.model_copy(update={"counted": self.counted})

    bare = GivenSettings(admin_password=SecretStr("password"), trusted_hosts="*", cors_origins="*")
    full = GivenSettings(
        database_url="postgresql://db/index",
        redis_url=SecretStr("redis://cache"),
        secret_key=SecretStr("0123456789abcdef"),
        admin_password=SecretStr("correct horse battery"),
        trusted_hosts="api.example.com",
        openai_api_key=SecretStr("sk-x"),
        job_timeout=3600,
    )

    async def report(settings: GivenSettings, url: str, seen: Seen, *, counted: bool = True) -> dict[str, Any]:
        deployment = Deployment(settings, seen, Counting(counted=counted))  # type: ignore[arg-type]
        async with over(make(deployment=deployment), **ADMIN) as client:
            body: dict[str, Any] = (await client.get(f"{url}{BASE}/deployment/readiness")).json()
        return body

    ready = await report(full, "https://testserver", Seen())
    assert set(ready) == {"readiness_score", "checks", "recommendations"}
    assert (ready["readiness_score"], ready["recommendations"]) == (100.0, [])
    lacking = await report(bare, "http://testserver", Seen(worker="no worker polls"))
    failed = [check["name"] for check in lacking["checks"] if not check["passed"]]
    assert failed == [
        *("worker", "postgresql", "secret_key", "redis", "tls"),
        *("trusted_hosts", "cors_origins", "admin_password", "model_provider", "job_timeout"),
    ]
    assert len(lacking["recommendations"]) == len(failed)
    assert lacking["readiness_score"] == round(100 * (1 - len(failed) / len(lacking["checks"])), 1)
    origins = {
        check["message"] for body in (ready, lacking) for check in body["checks"] if check["name"] == "cors_origins"
    }
    assert origins == {"pages of this origin only may call", "pages of any origin may call"}
    silent = await report(full, "https://testserver", Seen(), counted=False)
    assert [check["name"] for check in silent["checks"] if not check["passed"]] == ["redis"]


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("eleven-char", "is short"),
        ("aaaaaaaabbbbbbbb", "repeats a few characters"),
        ("PassWord-of-2026", "a common word"),
        ("ROOT-of-the-tree", "the user's name"),
        ("correct horse battery", None),
    ],
)
def test_a_weak_bootstrap_password_is_named_and_not_shown(password: str, why: str | None):
    settings = GivenSettings(admin_username="root", admin_password=SecretStr(password))
    deployment = Deployment(settings, Seen(), fresh_limits())
    (finding,) = [each for each in deployment._exposure(encrypted=True) if each.check == "admin_password"]
    assert finding.ok == (why is None)
    assert (why or "no weak") in finding.message
    assert password not in finding.message


@ledger("S-035", "S-025", "S-001", "C-44")
async def test_the_endpoints_are_listed_as_they_are(make: Make):
    app = make()
    async with over(app) as client:
        body = (await client.get(f"{BASE}/docs/endpoints")).json()
        page = await client.get("/docs")
    assert body["version"] == "1.0.0"
    listed = {(one["method"], one["path"]) for one in body["endpoints"]}
    served_here = {(method, path) for method, path in operations() if path.startswith((BASE, "/api/v1/auth"))}
    assert listed == served_here
    assert len(listed) == 10
    by_path = {one["path"]: one for one in body["endpoints"]}
    targets = {path: by_path[BASE + path]["target_ms"] for path in READS[:3]}
    assert targets == {"/health": 50, "/metrics": 100, "/partnerships": 200}
    assert by_path[f"{BASE}/decisions"]["target_ms"] == 500
    assert by_path[f"{BASE}/config"]["roles"] == ["admin"]
    assert set(by_path[f"{BASE}/health"]["roles"]) == set(Role)
    assert by_path["/api/v1/auth/login"]["roles"] == []
    assert all(one["summary"] for one in body["endpoints"])
    assert page.status_code == 200


QUICK_START = """\
import httpx

# Authenticate
auth_response = httpx.post("https://api.devskyy.com/api/v1/auth/login",
                          json={"username": "admin", "password": "password"})
token = auth_response.json()["access_token"]

# Use orchestration API
headers = {"Authorization": f"Bearer {token}"}
health = httpx.get("https://api.devskyy.com/api/v1/orchestration/health",
                   headers=headers)
print(health.json())
"""


@ledger("S-033")
async def test_the_quick_start_runs_as_printed(make: Make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "httpx", httpx2)  # the same library under its present name
    printed = io.StringIO()
    async with served(make()) as url:
        program = QUICK_START.replace("https://api.devskyy.com", url)
        with contextlib.redirect_stdout(printed):
            await asyncio.to_thread(exec, program, {})
    assert "'status': 'healthy'" in printed.getvalue()
    assert "cursor_technical" in printed.getvalue()


@ledger("S-032", "S-031")
def test_the_documented_paths_are_there_and_bandit_finds_nothing():
    assert orchestration.router is router
    assert (ROOT / "tests/load/orchestration_load_test.py").is_file()
    places = ["api/v1/orchestration.py", "api/dialects/devskyy"]
    command = [sys.executable, "-m", "bandit", "-q", "-r", *places]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 0, found.stdout


@ledger("S-027", "S-032", "C-26")
def test_the_load_test_asks_for_what_is_served():
    source = (ROOT / "tests/load/orchestration_load_test.py").read_text()
    asked = set(re.findall(r'"(/api/v1/[a-z/]+)"', source))
    assert {f"{BASE}{path}" for path in ("/health", "/metrics", "/partnerships", "/decisions")} <= asked
    assert asked <= {path for _, path in operations()}


@ledger("S-036")
async def test_operators_see_the_surface_in_prometheus_text(make: Make, as_user: AsUser):
    async with over(make(), **as_user("admin")) as client:
        await client.get(f"{BASE}/health")
        text = (await client.get("/metrics")).text
    assert f'orchestrator_http_requests_total{{method="GET",route="{BASE}/health",status="200"}} 1.0' in text


@ledger("S-010")
async def test_sign_ins_and_decisions_are_in_the_audit_trail(make: Make, as_user: AsUser):
    async with over(make(), **as_user("admin", name="audited")) as client:
        await client.post(f"{BASE}/decisions", json={"context": CONTEXT})
        entries = (await client.get("/v1/audit", params={"limit": 50})).json()["entries"]
    assert f"POST {BASE}/decisions" in actions(entries, "user:audited")


def actions(entries: Iterable[dict[str, Any]], principal: str) -> list[str]:
    return [entry["action"] for entry in entries if entry["principal"] == principal]
