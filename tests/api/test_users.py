"""Users over the whole product: who may add them, and what becomes of those who are removed."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from orchestrator.domain.access import Scope
from tests.api.conftest import over
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
    assert set(added.json()) == {"username", "roles", "created_at"}
    assert who["id"] == f"user:{user['username']}"
    assert set(who["scopes"]) == set(Scope) - {Scope.ADMIN}
    left = datetime.fromisoformat(who["expires_at"]) - datetime.now(UTC)
    assert timedelta(0) < left <= timedelta(minutes=15)
    assert (removed.status_code, removed.content) == (204, b"")
    assert again.status_code == 404
    assert late.status_code == 401
    assert renewed.status_code == 401


async def test_users_are_listed_by_name_without_passwords(client: httpx2.AsyncClient):
    users = sorted([named() for _ in range(3)], key=lambda user: user["username"])
    for user in users:
        await client.post("/v1/users", json=user)
    answer = await client.get("/v1/users", params={"limit": 200})
    page = await client.get("/v1/users", params={"limit": 1, "offset": 1})
    told = answer.json()
    names = [user["username"] for user in told["users"]]
    assert names == sorted(names)
    assert {user["username"] for user in users} <= set(names)
    assert told["total"] >= 3
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
