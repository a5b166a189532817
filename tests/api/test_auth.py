"""API keys over HTTP: what each route wants, what a key's life is like, and that its secret is nowhere."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from api.app import create_app
from orchestrator.domain.access import Scope
from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.errors import Unavailable
from orchestrator.security.sealing import callback_secrets
from orchestrator.testing import Engine, eventually, running_engine
from tests.api.conftest import ADMIN, Fixed, over
from tests.ledger import ledger

KEYS = "/v1/auth/api-keys"
JSON = {"Content-Type": "application/json"}
DOCS = (Path(__file__).parents[2] / "docs/api.md").read_text()
# The scopes of a route, of which it needs one.
ROWS = [
    (method, path, scopes.replace("`", ""))
    for method, path, scopes in re.findall(
        r"^\| `(GET|POST|PUT|PATCH|DELETE) (/v1/[^`?]*)` \| ([^|]+) \|", DOCS, re.MULTILINE
    )
]
PLACES = {"{agent_id}": "product_manager", "{workflow_id}": "api_development", "{job_id}": "job_x"}
Issue = Callable[..., Awaitable[dict[str, str]]]


def concrete(template: str) -> str:
    return re.sub(r"\{\w+\}", lambda place: PLACES.get(place[0], "nothing_x"), template)


@pytest.fixture(scope="session")
def one_scope(key: Issue) -> Callable[[Scope], Awaitable[dict[str, str]]]:
    """Headers of a key with one scope alone; one key per scope for all tests."""
    known: dict[Scope, dict[str, str]] = {}

    async def issue(scope: Scope) -> dict[str, str]:
        if scope not in known:
            known[scope] = await key([scope])
        return known[scope]

    return issue


async def issued(client: httpx2.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post(KEYS, json={"name": "Newsroom", "scopes": ["jobs:read"], **body})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def status_with(client: httpx2.AsyncClient, token: str, path: str = "/v1/auth/me") -> int:
    return (await client.get(path, headers={"Authorization": f"Bearer {token}"})).status_code


@ledger("D-015")
def test_every_route_of_v1_has_a_scope(app: FastAPI) -> None:
    paths = app.openapi()["paths"]
    served = {(method.upper(), path) for path, methods in paths.items() for method in methods if path[:4] == "/v1/"}
    assert served == {(method, path) for method, path, _ in ROWS}
    assert len(served) == len(ROWS)


@ledger("D-015")
@pytest.mark.parametrize(("method", "path", "scope"), ROWS)
def test_the_scopes_of_the_reference(method: str, path: str, scope: str) -> None:
    """The ledger's own table, in its words."""
    rules = [
        (r"GET /v1/agents", "agents:read"),
        (r"POST /v1/agents/\{agent_id\}/execute", "agents:execute"),
        (r"GET /v1/workflows", "workflows:read"),
        (r"POST /v1/workflows/\{workflow_id\}/run", "workflows:run"),
        (r"GET /v1/jobs", "jobs:read"),
        (r"POST /v1/jobs/\{job_id\}/(?!retry)", "jobs:cancel"),
        (r"GET /v1/metrics", "metrics:read"),
        (r"\w+ /v1/auth/api-keys", "admin:*"),
        (r"GET /v1/audit", "admin:*"),
    ]
    wanted = [words for rule, words in rules if re.match(rule, f"{method} {path}")]
    assert {*scope.split(", ")} <= {*(wanted or ["any", *Scope])}


@ledger("D-010", "D-014", "D-015")
@pytest.mark.parametrize(("method", "path", "scope"), ROWS)
async def test_each_route_wants_its_scope(
    app: FastAPI, one_scope: Callable[[Scope], Awaitable[dict[str, str]]], method: str, path: str, scope: str
) -> None:
    async with over(app) as client:

        async def ask(headers: dict[str, str]) -> httpx2.Response:
            body = {"json": {}} if method in {"POST", "PUT", "PATCH"} else {}
            return await client.request(method, concrete(path), headers=headers, **body)

        for headers in ({}, {"Authorization": "Bearer dvr_sk_live_" + "0" * 80}):
            answer = await ask(headers)
            assert answer.status_code == 401, answer.text
            assert answer.json()["error"]["code"] == "authentication_failed"
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        needed = [] if scope == "any" else [Scope(name) for name in scope.split(", ")]
        if needed:
            other = Scope.METRICS_READ if Scope.METRICS_READ not in needed else Scope.JOBS_READ
            denied = await ask(await one_scope(other))
            assert (denied.status_code, denied.json()["error"]["code"]) == (403, "forbidden")
            assert denied.json()["error"]["details"]["scope"] in needed
        if path == "/v1/events":
            return  # A stream without an end.
        holders = [Scope.ADMIN, *(needed or [Scope.METRICS_READ])]
        for holder in holders:
            answer = await ask(await one_scope(holder))
            assert answer.status_code not in {401, 403}, answer.text
            assert answer.status_code < 500, answer.text


@ledger("D-011", "D-012", "D-013", "D-014", "C-54")
async def test_a_key_is_issued_and_its_secret_shown_once(client: httpx2.AsyncClient, running: Engine) -> None:
    scopes = [str(scope) for scope in Scope if scope is not Scope.ADMIN]
    answer = await client.post(KEYS, json={"name": "My Application", "scopes": scopes})
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    key = answer.json()
    assert re.fullmatch(r"dvr_sk_live_[0-9a-f]{80}", key["api_key"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", key["created_at"])
    assert {name: key[name] for name in ("name", "scopes", "tier", "expires_at")} == {
        "name": "My Application",
        "scopes": scopes,
        "tier": "free",
        "expires_at": None,
    }
    assert key["owner"] == key["id"]
    assert key["id"].startswith("key_")
    assert key["webhook_secret"] == callback_secrets(running.parts.backend.sealer, key["id"])[0]

    shown = (await client.get(f"{KEYS}/{key['id']}")).json()
    assert shown["prefix"] == key["api_key"][:18] + "…"
    assert (shown["state"], shown["created_by"], shown["last_used_at"], shown["revoked_at"]) == (
        "active",
        "admin",
        None,
        None,
    )
    for read in (shown, (await client.get(KEYS)).json()):
        assert key["api_key"] not in str(read)
        assert key["webhook_secret"] not in str(read)
    assert await status_with(client, key["api_key"], "/v1/agents") == 200
    assert await status_with(client, key["api_key"], KEYS) == 403


@ledger("D-011", "D-096")
@pytest.mark.parametrize(
    ("body", "field", "expected"),
    [
        ({"name": None}, "name", "string"),
        ({"name": ""}, "name", "at least 1 characters"),
        ({"name": "x" * 101}, "name", "at most 100 characters"),
        ({"name": "a\0b"}, "name", "matches"),
        ({"scopes": None}, "scopes", "array"),
        ({"scopes": "jobs:read"}, "scopes", "array"),
        ({"scopes": []}, "scopes", "at least one scope"),
        ({"scopes": ["jobs:read", "jobs:write"]}, "scopes", "'agents:read'"),
        ({"tier": "gold"}, "tier", "'free', 'pro', 'business', 'enterprise' or 'public'"),
        ({"tier": None}, "tier", "'free'"),
        ({"owner": "a b"}, "owner", "matches"),
        ({"owner": "x" * 129}, "owner", "at most 128 characters"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at", "a time in the future"),
        ({"expires_at": "2099-01-01T00:00:00"}, "expires_at", "an ISO 8601 time with its offset"),
        ({"expires_at": "9999-12-31T23:59:59-10:00"}, "expires_at", "an ISO 8601 time with its offset"),
        ({"expires_at": 4e9}, "expires_at", "an ISO 8601 time with its offset"),
        ({"expires_in": 0}, "expires_in", "at least 1"),
        ({"expires_in": True}, "expires_in", "integer"),
        ({"expires_in": 10**12}, "expires_in", "at most 315360000"),
        ({"expires_in": 5, "expires_at": "2099-01-01T00:00:00Z"}, "expires_in", "one"),
        ({"scope": []}, "scope", "one of name, scopes, "),
    ],
)
async def test_a_key_that_cannot_be_is_refused(
    client: httpx2.AsyncClient, body: dict[str, Any], field: str, expected: str
) -> None:
    answer = await client.post(KEYS, json={"name": "x", "scopes": ["jobs:read"], **body})
    assert answer.status_code == 400, answer.text
    details = answer.json()["error"]["details"]
    assert details["field"] == field
    assert expected in details["expected"]


async def test_a_name_that_is_no_text_is_refused(client: httpx2.AsyncClient) -> None:
    answer = await client.post(KEYS, content=rb'{"name": "\ud800", "scopes": ["jobs:read"]}', headers=JSON)
    assert (answer.status_code, answer.json()["error"]["details"]["field"]) == (400, "name")


@pytest.mark.parametrize("missing", ["name", "scopes"])
async def test_name_and_scopes_are_needed(client: httpx2.AsyncClient, missing: str) -> None:
    body = {"name": "x", "scopes": ["jobs:read"]}
    del body[missing]
    answer = await client.post(KEYS, json=body)
    assert (answer.status_code, answer.json()["error"]["details"]["field"]) == (400, missing)


@ledger("C-18")
async def test_only_an_admin_issues_keys(client: httpx2.AsyncClient, key: Issue) -> None:
    body = {"name": "x", "scopes": ["admin:*"]}
    assert (await client.post(KEYS, json=body, headers=await key())).status_code == 403
    answer = await client.post(KEYS, json=body, headers=await key([Scope.ADMIN], owner="ops"))
    assert answer.status_code == 201
    shown = (await client.get(f"{KEYS}/{answer.json()['id']}")).json()
    assert (shown["created_by"], shown["scopes"], shown["tier"]) == ("ops", ["admin:*"], "free")


@ledger("D-012")
async def test_a_key_ends_when_it_was_to(client: httpx2.AsyncClient) -> None:
    before = datetime.now(UTC)
    key = await issued(client, expires_in=60)
    ends = datetime.fromisoformat(key["expires_at"])
    assert abs(ends - before - timedelta(seconds=60)) < timedelta(seconds=30)
    given = await issued(client, expires_at="2099-01-01T02:00:00+02:00")
    assert given["expires_at"] == "2099-01-01T00:00:00Z"
    brief = await issued(client, expires_in=1)

    async def shown() -> str:
        return str((await client.get(f"{KEYS}/{brief['id']}")).json()["state"])

    await eventually(shown, lambda state: state == "expired")
    refused = await client.get("/v1/agents", headers={"Authorization": f"Bearer {brief['api_key']}"})
    assert (refused.status_code, refused.json()["error"]["message"]) == (401, "The API key has expired")


async def test_keys_are_listed_newest_first(client: httpx2.AsyncClient) -> None:
    made = [(await issued(client, name=f"list {number}"))["id"] for number in range(3)]
    page = (await client.get(KEYS, params={"limit": 3})).json()
    assert [key["id"] for key in page["keys"]] == made[::-1]
    assert (page["limit"], page["offset"]) == (3, 0)
    second = (await client.get(KEYS, params={"limit": 1, "offset": 1})).json()
    assert [key["id"] for key in second["keys"]] == [made[1]]
    assert second["total"] == page["total"] >= 3
    everything = (await client.get(KEYS, params={"limit": 200})).json()["keys"]
    assert all(newer["created_at"] >= older["created_at"] for newer, older in pairwise(everything))
    for bad in ({"limit": 0}, {"limit": 201}, {"offset": -1}):
        assert (await client.get(KEYS, params=bad)).status_code == 400


async def test_a_revoked_key_is_refused_at_once_and_for_good(client: httpx2.AsyncClient) -> None:
    key = await issued(client)
    path, token = f"{KEYS}/{key['id']}", key["api_key"]
    assert await status_with(client, token) == 200
    gone = await client.delete(path)
    assert (gone.status_code, gone.json()["state"]) == (200, "revoked")
    refused = await client.get("/v1/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert (refused.status_code, refused.json()["error"]["message"]) == (401, "The API key was revoked")
    again = await client.delete(path)
    assert (again.status_code, again.json()) == (200, gone.json())
    assert (await client.patch(path, json={"name": "y"})).status_code == 400
    assert (await client.patch(path, json={})).status_code == 400
    assert (await client.post(f"{path}/rotate")).status_code == 400


async def test_a_rotated_key_has_an_overlap(client: httpx2.AsyncClient) -> None:
    key = await issued(client, expires_at="2099-01-01T00:00:00Z")
    path = f"{KEYS}/{key['id']}"
    assert await status_with(client, key["api_key"]) == 200
    answer = await client.post(f"{path}/rotate")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    second = answer.json()
    assert second["api_key"] != key["api_key"]
    assert {**second, "api_key": ""} == {**key, "api_key": ""}
    assert [await status_with(client, each["api_key"]) for each in (key, second)] == [200, 200]
    assert (await client.get(path)).json()["prefix"] == second["api_key"][:18] + "…"

    third = (await client.post(f"{path}/rotate", json={"overlap_seconds": 0})).json()
    assert [await status_with(client, each["api_key"]) for each in (key, second, third)] == [401, 401, 200]
    for seconds in (-1, 2_592_001, "1"):
        refused = await client.post(f"{path}/rotate", json={"overlap_seconds": seconds})
        assert (refused.status_code, refused.json()["error"]["details"]["field"]) == (400, "overlap_seconds")


async def test_a_key_is_changed_and_the_change_holds_at_once(client: httpx2.AsyncClient) -> None:
    key = await issued(client, expires_at="2099-01-01T00:00:00Z")
    path = f"{KEYS}/{key['id']}"
    assert await status_with(client, key["api_key"], "/v1/jobs") == 200
    changed = await client.patch(path, json={"scopes": ["agents:read"], "tier": "business"})
    assert changed.status_code == 200
    assert [changed.json()[name] for name in ("name", "scopes", "tier", "expires_at")] == [
        "Newsroom",
        ["agents:read"],
        "business",
        "2099-01-01T00:00:00Z",
    ]
    assert await status_with(client, key["api_key"], "/v1/jobs") == 403
    assert await status_with(client, key["api_key"], "/v1/agents") == 200
    forever = (await client.patch(path, json={"name": "Desk", "expires_at": None})).json()
    assert (forever["name"], forever["expires_at"], forever["tier"]) == ("Desk", None, "business")
    same = (await client.patch(path, json={})).json()
    assert {**same, "last_used_at": None} == {**forever, "last_used_at": None}
    for bad in ({"tier": "gold"}, {"scopes": []}, {"expires_at": "2020-01-01T00:00:00Z"}, {"owner": "me"}):
        refused = await client.patch(path, json=bad)
        assert (refused.status_code, refused.json()["error"]["details"]["field"]) == (400, next(iter(bad)))


async def test_an_unknown_key_is_not_found(client: httpx2.AsyncClient) -> None:
    for key_id in ("key_" + "0" * 32, "nothing", "key_%00"):
        for method, tail, body in (("GET", "", None), ("PATCH", "", {}), ("DELETE", "", None), ("POST", "/rotate", {})):
            answer = await client.request(method, f"{KEYS}/{key_id}{tail}", json=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), (method, key_id)


async def test_the_caller_learns_who_they_are(client: httpx2.AsyncClient) -> None:
    key = await issued(client, owner="desk", tier="pro", scopes=["jobs:read", "agents:read"])
    answer = await client.get("/v1/auth/me", headers={"Authorization": f"Bearer {key['api_key']}"})
    assert answer.json() == {
        "id": "desk",
        "key_id": key["id"],
        "name": "Newsroom",
        "scopes": ["agents:read", "jobs:read"],
        "tier": "pro",
        "expires_at": None,
    }
    admin = (await client.get("/v1/auth/me")).json()
    assert (admin["id"], admin["key_id"], admin["scopes"], admin["tier"]) == ("admin", None, ["admin:*"], None)


async def test_the_last_use_is_reported(client: httpx2.AsyncClient) -> None:
    key = await issued(client)
    await status_with(client, key["api_key"])

    async def last() -> str | None:
        return (await client.get(f"{KEYS}/{key['id']}")).json()["last_used_at"]

    assert await eventually(last, bool) >= key["created_at"]


@ledger("D-015")
async def test_jobs_belong_to_the_owner_of_the_key(app: FastAPI, client: httpx2.AsyncClient, key: Issue) -> None:
    mine, partner = await key(owner="desk-one"), await key(owner="desk-one")
    theirs = await key()
    async with over(app) as anonymous:
        started = await anonymous.post("/v1/workflows/t_approval/run", json={"input": {}, "async": True}, headers=mine)
        assert started.status_code == 202, started.text
        job_id = started.json()["job_id"]
        for method, path, _ in ROWS:
            if "{job_id}" not in path:
                continue
            body = {"json": {"step": "approve", "values": {}}} if path.endswith("/answers") else {}
            answer = await anonymous.request(method, path.replace("{job_id}", job_id), headers=theirs, **body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), (method, path)
        for headers, visible in ((mine, True), (partner, True), (theirs, False)):
            page = (await anonymous.get("/v1/jobs", headers=headers)).json()
            assert ([job["job_id"] for job in page["jobs"]] == [job_id]) is visible
            assert page["total"] == int(visible)
        assert (await client.get(f"/v1/jobs/{job_id}")).status_code == 200, "an admin sees it"
        assert job_id in [job["job_id"] for job in (await client.get("/v1/jobs")).json()["jobs"]]
        ended = await anonymous.post(f"/v1/jobs/{job_id}/cancel", headers=partner)
        assert (ended.status_code, ended.json()["status"]) == (200, "cancelled")


async def test_two_processes_share_keys_and_hear_of_a_revocation_in_time(
    running: Engine, client: httpx2.AsyncClient, temporal_address: str, orchestrator_plugins: list[Plugin]
) -> None:
    folder = running.parts.settings.data_dir
    async with running_engine(temporal_address, folder, orchestrator_plugins, worker=False) as second:
        other = create_app(Fixed(second.services))
        key = await issued(client)
        async with over(other) as elsewhere:
            assert await status_with(elsewhere, key["api_key"]) == 200
            await client.delete(f"{KEYS}/{key['id']}")

            async def seen() -> int:
                return await status_with(elsewhere, key["api_key"], "/v1/jobs")

            await eventually(seen, lambda status: status == 401, seconds=10)


async def test_without_the_index_nobody_new_is_let_in(app: FastAPI, running: Engine, key: Issue) -> None:
    known, unknown = await key(), await key()
    keys = running.parts.backend.issued_keys._keys
    find = keys.find

    async def lost(prefix: str) -> None:
        raise Unavailable("The job index does not answer.")

    async with over(app) as client:
        assert (await client.get("/v1/agents", headers=known)).status_code == 200
        keys.find = lost
        try:
            refused = await client.get("/v1/agents", headers=unknown)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "service_unavailable")
            assert int(refused.headers["Retry-After"]) >= 1
            assert (await client.get("/v1/agents", headers=ADMIN)).status_code == 200
        finally:
            keys.find = find
        assert (await client.get("/v1/agents", headers=unknown)).status_code == 200


async def test_requests_at_once_with_a_new_key_all_pass(app: FastAPI, key: Issue) -> None:
    headers = await key()
    async with over(app) as client:
        answers = await asyncio.gather(*(client.get("/v1/auth/me", headers=headers) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}


@ledger("D-010", "D-013")
async def test_the_secret_of_a_key_is_nowhere_but_in_its_answer(
    running: Engine, client: httpx2.AsyncClient, capfd: pytest.CaptureFixture[str]
) -> None:
    with capture_logs() as logs:
        key = await issued(client, scopes=["agents:execute", "jobs:read"], tier="enterprise")
        token, headers = key["api_key"], {"Authorization": f"Bearer {key['api_key']}"}
        started = await client.post("/v1/agents/t_echo/execute", json={"input": {"n": 1}}, headers=headers)
        job_id = started.json()["job_id"]
        answers = [
            await client.get(f"/v1/jobs/{job_id}/events", headers=headers),
            await client.get(f"/v1/jobs/{job_id}", headers=headers),
            await client.delete(f"{KEYS}/{key['id']}", headers=headers),
            await client.post(f"{KEYS}/{token}/rotate"),
            await client.post("/v1/agents/t_echo/execute", content=b"{", headers=headers),
            await client.post(f"/v1/auth/api-keys?api_key={token}", json={"name": "x"}, headers=headers),
            await client.get("/v1/audit", params={"limit": 200}),
            await client.get(f"{KEYS}/{key['id']}"),
        ]
        rotated = (await client.post(f"{KEYS}/{key['id']}/rotate")).json()
        await client.delete(f"{KEYS}/{key['id']}")
        answers.append(await client.get("/v1/agents", headers={"Authorization": f"Bearer {rotated['api_key']}"}))
    secret = token.removeprefix("dvr_sk_live_")[16:]
    assert [answer.status_code for answer in answers] == [200, 200, 403, 404, 400, 403, 200, 200, 401]
    for hidden in (secret, rotated["api_key"][28:]):
        for answer in answers:
            assert hidden[:40] not in answer.text
        assert hidden[:40] not in repr(logs)
    assert any(line.get("path") == f"{KEYS}/dvr_sk_live_…/rotate" for line in logs)
    captured = capfd.readouterr()
    assert secret not in captured.out + captured.err
    folder = running.parts.settings.data_dir
    stored = b"".join(path.read_bytes() for path in folder.iterdir() if path.name.startswith("index.sqlite3"))
    assert key["id"].encode() in stored, "the files are those of the index"
    for hidden in (secret, rotated["api_key"][28:], key["webhook_secret"]):
        assert hidden.encode() not in stored
    history = (await running.history(job_id)).to_json()
    assert secret not in history
