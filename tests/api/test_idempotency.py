"""`Idempotency-Key` on every POST of `/v1`: one effect, one answer, nothing remembered of refused requests."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import select

from api.app import create_app
from api.v1.surface import DEVORA
from orchestrator.domain.access import Principal, Scope
from orchestrator.domain.limits import Tier
from orchestrator.services.access.authentication import ADMIN as BOOTSTRAP
from orchestrator.services.access.keys import IssuedKey, KeyIssuer, KeyRequest
from orchestrator.storage.tables import idempotency_keys
from orchestrator.testing import Engine, eventually, running_engine
from tests.api.conftest import ADMIN, Fixed, over
from tests.catalogue import TEST_PLUGIN

HOOK = {"url": "http://127.0.0.1:9/hook", "events": ["job.completed"]}
KEY = {"name": "k", "scopes": ["jobs:read"]}
Call = tuple[str, dict[str, Any] | None, dict[str, Any]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def engine(temporal_address: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    folder = tmp_path_factory.mktemp("idempotency")
    settings: dict[str, Any] = {"webhook_allow_private": True, "webhook_retry_schedule": "0"}
    async with running_engine(temporal_address, folder, [TEST_PLUGIN], **settings) as running:
        yield running


@pytest.fixture(scope="module")
def application(engine: Engine) -> FastAPI:
    return create_app(Fixed(engine.services))


@pytest_asyncio.fixture(loop_scope="session")
async def admin(application: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    async with over(application, **ADMIN) as client:
        yield client


def new_key() -> dict[str, str]:
    return {"Idempotency-Key": uuid.uuid4().hex}


async def webhook(admin: httpx2.AsyncClient) -> str:
    return str((await admin.post("/v1/webhooks", json=HOOK)).json()["id"])


async def job(admin: httpx2.AsyncClient, *controls: str) -> str:
    """A job that waits for approval, after some controls."""
    started = await admin.post("/v1/workflows/t_approval/run", json={"input": {}, "async": True})
    path = f"/v1/jobs/{started.json()['job_id']}"

    async def look() -> str | None:
        reason = (await admin.get(path)).json()["reason"]
        return None if reason is None else str(reason["code"])

    await eventually(look, lambda code: code == "waiting_for_approval")
    for control in controls:
        assert (await admin.post(f"{path}/{control}")).status_code == 200
    return path


def control(name: str, *before: str, **body: Any) -> Callable[[httpx2.AsyncClient], Awaitable[Call]]:
    async def call(admin: httpx2.AsyncClient) -> Call:
        return f"{await job(admin, *before)}/{name}", body, {**body, "note" if name != "cancel" else "reason": "x"}

    return call


async def execute(_: httpx2.AsyncClient) -> Call:
    body = {"input": {}, "async": True}
    return "/v1/agents/t_echo/execute", body, {**body, "config": {"temperature": 0.5}}


async def run(_: httpx2.AsyncClient) -> Call:
    body = {"input": {}, "async": True}
    return "/v1/workflows/t_three/run", body, {**body, "config": {"temperature": 0.5}}


async def retry(admin: httpx2.AsyncClient) -> Call:
    path = await job(admin, "cancel")
    return f"{path}/retry", {}, {}


async def form(admin: httpx2.AsyncClient) -> str:
    """A job that waits for an address."""
    started = await admin.post("/v1/workflows/t_form/run", json={"input": {}, "async": True})
    path = f"/v1/jobs/{started.json()['job_id']}"

    async def look() -> Any:
        return (await admin.get(f"{path}/questions")).json()["questions"]

    await eventually(look, bool)
    return path


async def answer(admin: httpx2.AsyncClient) -> Call:
    body = {"step": "address", "values": {"street": "Long Street 5"}}
    return f"{await form(admin)}/answers", body, {**body, "note": "x"}


async def signal(admin: httpx2.AsyncClient) -> Call:
    return f"{await form(admin)}/signals/remark", {"input": {"text": "one"}}, {"input": {"text": "two"}}


async def register(_: httpx2.AsyncClient) -> Call:
    return "/v1/webhooks", HOOK, {**HOOK, "events": ["job.failed"]}


async def rotate_secret(admin: httpx2.AsyncClient) -> Call:
    return f"/v1/webhooks/{await webhook(admin)}/rotate-secret", {"overlap_seconds": 0}, {"overlap_seconds": 1}


async def test_delivery(admin: httpx2.AsyncClient) -> Call:
    return f"/v1/webhooks/{await webhook(admin)}/test", None, {"another": "body"}


test_delivery.__test__ = False  # type: ignore[attr-defined]


async def redeliver(admin: httpx2.AsyncClient) -> Call:
    path = f"/v1/webhooks/{await webhook(admin)}"
    delivery = (await admin.post(f"{path}/test")).json()["id"]

    async def look() -> str:
        return str((await admin.get(f"{path}/deliveries")).json()["deliveries"][0]["state"])

    await eventually(look, lambda state: state != "pending")
    await admin.patch(path, json={"active": True})
    return f"{path}/deliveries/{delivery}/redeliver", None, {"another": "body"}


async def issue(_: httpx2.AsyncClient) -> Call:
    return "/v1/auth/api-keys", KEY, {**KEY, "name": "other"}


async def rotate(admin: httpx2.AsyncClient) -> Call:
    key_id = (await admin.post("/v1/auth/api-keys", json=KEY)).json()["id"]
    return f"/v1/auth/api-keys/{key_id}/rotate", {"overlap_seconds": 0}, {"overlap_seconds": 1}


async def user(_: httpx2.AsyncClient) -> Call:
    body = {"username": f"u-{uuid.uuid4().hex[:8]}", "password": "correct horse", "roles": ["admin"]}
    return "/v1/users", body, {**body, "password": "battery staple"}


SCHEDULE = {"agent_id": "t_echo", "input": {}, "spec": {"cron": ["@yearly"]}}


async def new_schedule(_: httpx2.AsyncClient) -> Call:
    return "/v1/schedules", SCHEDULE, {**SCHEDULE, "paused": True}


def schedule(name: str, **body: Any) -> Callable[[httpx2.AsyncClient], Awaitable[Call]]:
    async def call(admin: httpx2.AsyncClient) -> Call:
        created = (await admin.post("/v1/schedules", json=SCHEDULE)).json()
        path = f"/v1/schedules/{created['schedule_id']}"
        return f"{path}/{name}", body, {**body, **({"note": "x"} if "pause" in name else {"overlap": "allow_all"})}

    return call


# A new POST route needs a line here; a sign-out has a test of its own.
CALLS: dict[str, Callable[[httpx2.AsyncClient], Awaitable[Call]]] = {
    "/v1/agents/{agent_id}/execute": execute,
    "/v1/workflows/{workflow_id}/run": run,
    "/v1/jobs/{job_id}/cancel": control("cancel"),
    "/v1/jobs/{job_id}/pause": control("pause"),
    "/v1/jobs/{job_id}/resume": control("resume", "pause"),
    "/v1/jobs/{job_id}/approve": control("approve"),
    "/v1/jobs/{job_id}/reject": control("reject"),
    "/v1/jobs/{job_id}/retry": retry,
    "/v1/jobs/{job_id}/answers": answer,
    "/v1/jobs/{job_id}/signals/{name}": signal,
    "/v1/webhooks": register,
    "/v1/webhooks/{webhook_id}/rotate-secret": rotate_secret,
    "/v1/webhooks/{webhook_id}/test": test_delivery,
    "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver": redeliver,
    "/v1/schedules": new_schedule,
    "/v1/schedules/{schedule_id}/pause": schedule("pause"),
    "/v1/schedules/{schedule_id}/unpause": schedule("unpause"),
    "/v1/schedules/{schedule_id}/trigger": schedule("trigger"),
    "/v1/schedules/{schedule_id}/backfill": schedule(
        "backfill", start_at="2026-01-01T00:00:00Z", end_at="2026-01-02T00:00:00Z"
    ),
    "/v1/auth/api-keys": issue,
    "/v1/auth/api-keys/{key_id}/rotate": rotate,
    "/v1/users": user,
}
SIGN_OUT = "/v1/auth/sign-out"


def test_every_post_route_takes_a_key_and_is_tried_here():
    routes = [route for router in DEVORA.routers for route in router.routes if isinstance(route, APIRoute)]
    posts = {route.path for route in routes if "POST" in route.methods}
    assert posts == {*CALLS, SIGN_OUT}


@pytest.mark.parametrize("path", CALLS)
async def test_a_repeated_request_gets_the_first_answer(admin: httpx2.AsyncClient, path: str):
    url, body, other = await CALLS[path](admin)
    key = new_key()
    first = await admin.post(url, json=body, headers=key)
    assert first.status_code < 300, first.text
    again = await admin.post(url, json=body, headers=key)
    assert "Idempotency-Replayed" not in first.headers
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (first.status_code, "true")
    assert again.headers.get("Location") == first.headers.get("Location")
    if path.endswith(("/execute", "/run", "/retry")):  # their answer shows the job as it is now
        assert again.json()["job_id"] == first.json()["job_id"]
    else:
        assert again.content == first.content
    if other != body:
        reused = await admin.post(url, json=other, headers=key)
        assert (reused.status_code, reused.json()["error"]["code"]) == (422, "invalid_request")


async def test_the_form_of_the_json_does_not_matter(admin: httpx2.AsyncClient):
    headers = {**new_key(), "Content-Type": "application/json"}
    first = await admin.post(
        "/v1/webhooks", content=b'{"url":"http://127.0.0.1:9/","events":["job.failed"]}', headers=headers
    )
    again = await admin.post(
        "/v1/webhooks", content=b'{"events": ["job.failed"], "url": "http://127.0.0.1:9/"}', headers=headers
    )
    assert (first.status_code, again.content) == (201, first.content)


async def test_nothing_is_remembered_of_a_refused_request(admin: httpx2.AsyncClient):
    key = new_key()
    for wrong in ({**HOOK, "url": "ftp://x"}, {**HOOK, "events": ["nothing"]}, {}):
        assert (await admin.post("/v1/webhooks", json=wrong, headers=key)).status_code == 400
    accepted = await admin.post("/v1/webhooks", json=HOOK, headers=key)
    assert (accepted.status_code, "Idempotency-Replayed" in accepted.headers) == (201, False)


async def test_an_invalid_key_is_refused(admin: httpx2.AsyncClient):
    for value in (" ", "x" * 256):
        refused = await admin.post("/v1/webhooks", json=HOOK, headers={"Idempotency-Key": value})
        assert (refused.status_code, refused.json()["error"]["details"]["field"]) == (400, "Idempotency-Key")


class Held:
    """Issues keys once `go` is set."""

    def __init__(self, issuer: KeyIssuer) -> None:
        self._issuer = issuer
        self.began, self.go = asyncio.Event(), asyncio.Event()

    async def issue(self, principal: Principal, request: KeyRequest) -> IssuedKey:
        self.began.set()
        await self.go.wait()
        return await self._issuer.issue(principal, request)


async def test_a_request_that_still_runs_is_a_conflict(engine: Engine):
    held: Any = Held(engine.services.keys)
    key = new_key()
    async with over(create_app(Fixed(replace(engine.services, keys=held))), **ADMIN) as admin:
        first = asyncio.create_task(admin.post("/v1/auth/api-keys", json=KEY, headers=key))
        await held.began.wait()
        second = await admin.post("/v1/auth/api-keys", json=KEY, headers=key)
        other = await admin.post("/v1/auth/api-keys", json={**KEY, "name": "other"}, headers=key)
        held.go.set()
        issued = await first
        third = await admin.post("/v1/auth/api-keys", json=KEY, headers=key)
    assert (second.status_code, second.json()["error"]["code"]) == (409, "conflict")
    assert int(second.headers["Retry-After"]) >= 1
    assert other.status_code == 422
    assert (issued.status_code, third.content) == (201, issued.content)


async def test_no_secret_is_stored_in_clear(admin: httpx2.AsyncClient, engine: Engine):
    password = uuid.uuid4().hex
    body = {"username": f"u-{uuid.uuid4().hex[:8]}", "password": password, "roles": ["admin"]}
    await admin.post("/v1/users", json=body, headers=new_key())
    key = (await admin.post("/v1/auth/api-keys", json=KEY, headers=new_key())).json()
    hook = (await admin.post("/v1/webhooks", json=HOOK, headers=new_key())).json()
    rows = await engine.parts.backend.database.autocommit(
        lambda connection: [str(tuple(row)) for row in connection.execute(select(idempotency_keys))]
    )
    assert len(rows) >= 3
    for secret in (password, key["api_key"], key["webhook_secret"], hook["secret"]):
        assert not [row for row in rows if secret in row]


async def test_owners_do_not_share_keys_and_scopes_come_first(application: FastAPI, engine: Engine):
    async def issued(owner: str, *scopes: Scope) -> dict[str, str]:
        request = KeyRequest("k", frozenset(scopes), Tier.ENTERPRISE, owner)
        return {"Authorization": f"Bearer {(await engine.services.keys.issue(BOOTSTRAP, request)).token}"}

    one, two = uuid.uuid4().hex, uuid.uuid4().hex
    key = new_key()
    async with over(application) as client:
        first = await client.post("/v1/auth/api-keys", json=KEY, headers={**key, **await issued(one, Scope.ADMIN)})
        second = await client.post("/v1/auth/api-keys", json=KEY, headers={**key, **await issued(two, Scope.ADMIN)})
        # A key of the same owner that may not issue keys does not get the secret, either.
        narrow = await client.post("/v1/auth/api-keys", json=KEY, headers={**key, **await issued(one, Scope.JOBS_READ)})
    assert (first.status_code, second.status_code, narrow.status_code) == (201, 201, 403)
    assert first.json()["id"] != second.json()["id"]


async def test_a_repeated_sign_out_has_no_token_any_more(admin: httpx2.AsyncClient, application: FastAPI):
    body = {"username": f"u-{uuid.uuid4().hex[:8]}", "password": "correct horse", "roles": ["orchestration_manager"]}
    await admin.post("/v1/users", json=body)
    sign_in = {"username": body["username"], "password": body["password"]}
    async with over(application) as client:
        token = (await client.post("/api/v1/auth/login", json=sign_in)).json()["access_token"]
        headers = {**new_key(), "Authorization": f"Bearer {token}"}
        assert (await client.post(SIGN_OUT, headers=headers)).status_code == 204
        assert (await client.post(SIGN_OUT, headers=headers)).status_code == 401
