"""Users over the whole product: who may add them, and what becomes of those who are removed."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import jwt
import pytest

from orchestrator.domain.access import Scope
from orchestrator.testing import Engine
from tests.api.conftest import over, served
from tests.api.test_websocket import bare, limited
from tests.ledger import ledger

PASSWORD = "correct horse battery"


def named(**more: Any) -> dict[str, Any]:
    return {"username": f"u-{uuid.uuid4().hex[:12]}", "password": PASSWORD, "roles": ["orchestration_manager"], **more}


async def login(client: httpx2.AsyncClient, user: dict[str, Any]) -> httpx2.Response:
    body = {"username": user["username"], "password": user["password"]}
    return await client.post("/api/v1/auth/login", json=body)


@ledger("S-004", "S-005", "S-006", "C-22")
async def test_a_user_is_added_signs_in_and_is_removed(client: httpx2.AsyncClient, app: Any):
    user = named()
    added = await client.post("/v1/users", json=user)
    async with over(app) as anybody:
        tokens = (await login(anybody, user)).json()
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        who = (await anybody.get("/v1/auth/me", headers=headers)).json()
        removed = await client.delete(f"/v1/users/{user['username']}")
        again = await client.delete(f"/v1/users/{user['username']}")
        late = await login(anybody, user)
        renewed = await anybody.post("/api/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert added.status_code == 201
    assert set(added.json()) == {"id", "username", "roles", "created_at"}
    assert who["id"] == f"user:{added.json()['id']}"
    assert added.json()["id"].startswith(f"{user['username']}:")
    assert set(who["scopes"]) == set(Scope) - {Scope.ADMIN}
    left = datetime.fromisoformat(who["expires_at"]) - datetime.now(UTC)
    assert timedelta(0) < left <= timedelta(minutes=15)
    assert (removed.status_code, removed.content) == (204, b"")
    assert again.status_code == 404
    assert late.status_code == 401
    assert renewed.status_code == 401


async def signed_in(client: httpx2.AsyncClient, app: Any, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A new user and their tokens."""
    user = named(**more)
    assert (await client.post("/v1/users", json=user)).status_code == 201
    return user, await tokens_of(app, user)


async def tokens_of(app: Any, user: dict[str, Any]) -> dict[str, Any]:
    async with over(app) as anybody:
        answer = await login(anybody, user)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def bearer(tokens: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


async def refreshed(app: Any, tokens: dict[str, Any]) -> int:
    async with over(app) as anybody:
        answer = await anybody.post("/api/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    return answer.status_code


STARTS = [
    ("/v1/agents/t_echo/execute", {"input": {"text": "x"}}),
    ("/protected/execute-workflow", {"requirements": "x", "workflow_type": "t_three"}),
    ("/chat/v2/chat", {"message": "x"}),
    ("/api/agents", {"name": "x", "framework": "LANGCHAIN"}),
    ("/api/v1/orchestration/decisions", {"context": {"business_goal": "x"}}),
]


async def test_the_token_of_a_removed_user_opens_nothing_on_any_surface(client: httpx2.AsyncClient, app: Any):
    user, tokens = await signed_in(client, app)
    async with over(app, **bearer(tokens)) as gone:
        assert (await gone.get("/v1/auth/me")).status_code == 200
        assert (await client.delete(f"/v1/users/{user['username']}")).status_code == 204
        answers = [await gone.post(path, json=body) for path, body in STARTS]
    assert [answer.status_code for answer in answers] == [401] * len(STARTS)


async def test_a_new_user_of_an_old_name_sees_nothing_of_the_old_one(client: httpx2.AsyncClient, app: Any):
    user, tokens = await signed_in(client, app)
    async with over(app, **bearer(tokens)) as old:
        started = await old.post("/v1/agents/t_echo/execute", json={"input": {"text": "secret"}})
        job_id = started.json()["job_id"]
        assert (await old.get(f"/v1/jobs/{job_id}")).status_code == 200
    await client.delete(f"/v1/users/{user['username']}")
    assert (await client.post("/v1/users", json=user)).status_code == 201
    async with over(app, **bearer(await tokens_of(app, user))) as new:
        assert (await new.get("/v1/auth/me")).status_code == 200
        assert (await new.get(f"/v1/jobs/{job_id}")).status_code == 404
        assert (await new.get("/v1/jobs")).json()["total"] == 0
    async with over(app, **bearer(tokens)) as old:
        assert (await old.get(f"/v1/jobs/{job_id}")).status_code == 401
    assert await refreshed(app, tokens) == 401


async def test_a_sign_out_ends_the_sign_in_and_no_other(client: httpx2.AsyncClient, app: Any):
    user, first = await signed_in(client, app)
    second = await tokens_of(app, user)
    async with over(app, **bearer(first)) as one:
        out = await one.post("/v1/auth/sign-out")
        late = await one.get("/v1/auth/me")
    assert (out.status_code, out.content) == (204, b"")
    assert (late.status_code, late.json()["error"]["code"]) == (401, "authentication_failed")
    assert await refreshed(app, first) == 401
    async with over(app, **bearer(second)) as other:
        assert (await other.get("/v1/auth/me")).status_code == 200
    assert await refreshed(app, second) == 200


async def test_only_a_sign_in_can_be_ended(client: httpx2.AsyncClient, key: Any, app: Any, running: Engine):
    secret = running.parts.backend.sealer.derived("tokens").hex()
    minted = jwt.encode({"sub": "ada", "exp": datetime.now(UTC) + timedelta(minutes=5)}, secret, "HS256")
    for headers in (await key(), {"Authorization": f"Bearer {minted}"}):
        async with over(app, **headers) as caller:
            assert (await caller.post("/v1/auth/sign-out")).status_code == 400
    async with over(app) as anybody:
        assert (await anybody.post("/v1/auth/sign-out")).status_code == 401


async def test_a_refresh_token_used_twice_ends_the_access_tokens_too(client: httpx2.AsyncClient, app: Any):
    _, tokens = await signed_in(client, app)
    assert [await refreshed(app, tokens), await refreshed(app, tokens)] == [200, 401]
    async with over(app, **bearer(tokens)) as stolen:
        assert (await stolen.get("/v1/auth/me")).status_code == 401


async def test_the_sockets_of_a_removed_user_end(client: httpx2.AsyncClient, app: Any, app_with: Any):
    user, tokens = await signed_in(client, app)
    async with served(limited(app_with(), recheck=0.05)) as url, bare(url) as socket:
        assert (await socket.ask("auth", token=tokens["access_token"]))["type"] == "auth_ok"
        await client.delete(f"/v1/users/{user['username']}")
        assert (await socket.next())["error"]["code"] == "authentication_failed"
        assert await socket.end() == (4401, "no longer authenticated")


async def test_a_system_admin_cannot_make_itself_more_than_it_is(client: httpx2.AsyncClient, app: Any, key: Any):
    _, tokens = await signed_in(client, app, roles=["system_admin"])
    issue = "/v1/auth/api-keys"
    high = (await client.post(issue, json={"name": "x", "scopes": ["jobs:read"], "tier": "enterprise"})).json()["id"]
    root = (await client.post(issue, json={"name": "x", "scopes": ["admin:*"]})).json()["id"]
    low = (await client.post(issue, json={"name": "x", "scopes": ["jobs:read"]})).json()["id"]
    async with over(app, **bearer(tokens)) as system:
        attacks = [
            await system.get("/api/v1/orchestration/config"),
            await system.post("/v1/users", json=named(roles=["admin"])),
            await system.post("/v1/users", json=named(roles=["orchestration_manager", "admin"])),
            await system.post(issue, json={"name": "x", "scopes": ["admin:*"]}),
            await system.post(issue, json={"name": "x", "scopes": ["jobs:read"], "tier": "enterprise"}),
            await system.post(f"{issue}/{root}/rotate"),
            await system.post(f"{issue}/{high}/rotate"),
            await system.patch(f"{issue}/{low}", json={"scopes": ["admin:*"]}),
            await system.patch(f"{issue}/{low}", json={"tier": "enterprise"}),
            await system.patch(f"{issue}/{root}", json={"tier": "free"}),
        ]
        assert [answer.status_code for answer in attacks] == [403] * len(attacks)
        allowed = [
            await system.post("/v1/users", json=named(roles=["system_admin"])),
            await system.post(issue, json={"name": "x", "scopes": ["jobs:read"], "tier": "business"}),
            await system.patch(f"{issue}/{low}", json={"tier": "pro"}),
            await system.post(f"{issue}/{low}/rotate"),
            await system.delete(f"{issue}/{root}"),
        ]
    assert [answer.status_code for answer in allowed] == [201, 201, 200, 200, 200]


async def test_users_are_listed_by_name_without_passwords(client: httpx2.AsyncClient):
    users = sorted([named() for _ in range(3)], key=lambda user: user["username"])
    for user in users:
        await client.post("/v1/users", json=user)
    answer = await client.get("/v1/users", params={"limit": 200})
    page = await client.get("/v1/users", params={"limit": 1, "offset": 1})
    body = answer.json()
    names = [user["username"] for user in body["users"]]
    assert names == sorted(names)
    assert {user["username"] for user in users} <= set(names)
    assert body["total"] >= 3
    assert [user["username"] for user in page.json()["users"]] == names[1:2]
    assert "password" not in answer.text
    assert "argon2" not in answer.text


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"username": "with space"}, "username"),
        ({"username": ""}, "username"),
        ({"password": "hush-12"}, "password"),
        ({"roles": []}, "roles"),
        ({"roles": ["emperor"]}, "roles"),
        ({"admin": True}, "admin"),
    ],
)
async def test_a_user_that_cannot_be_is_refused(client: httpx2.AsyncClient, more: dict[str, Any], field: str):
    answer = await client.post("/v1/users", json=named(**more))
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"].startswith(field)
    assert PASSWORD not in answer.text
    assert "hush" not in answer.text


async def test_a_name_is_given_once(client: httpx2.AsyncClient):
    user = named()
    assert (await client.post("/v1/users", json=user)).status_code == 201
    taken = await client.post("/v1/users", json={**user, "password": "another password"})
    assert (taken.status_code, taken.json()["error"]["code"]) == (400, "invalid_request")


@ledger("S-005")
@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/users"), ("GET", "/v1/users"), ("DELETE", "/v1/users/x")])
async def test_only_administrators_see_users(app: Any, key: Any, method: str, path: str):
    async with over(app, **await key()) as client:
        answer = await client.request(method, path, json=named() if method == "POST" else None)
    assert answer.status_code == 403
