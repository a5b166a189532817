"""Webhooks over HTTP: whose they are, what is checked, what is sent, and what is never shown."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI
from standardwebhooks import Webhook as StandardWebhook
from standardwebhooks import WebhookVerificationError

from api.app import create_app
from orchestrator.domain.access import Scope
from orchestrator.domain.rows import MAX_WEBHOOKS
from orchestrator.security.sealing import callback_secrets
from orchestrator.testing import Engine, eventually, running_engine
from tests.api.conftest import Fixed, Keys, over
from tests.api.test_pages import walked
from tests.catalogue import TEST_PLUGIN
from tests.fakes.webhook_receiver import Answer, receiving
from tests.ledger import ledger
from tests.signatures import verify_webhook

URL = "http://127.0.0.1:9/hook"
TAKEN, FAILED = Answer(status=200), Answer(status=500)
BOTH = ["job.completed", "job.failed"]
RIGHTS = {Scope.AGENTS_EXECUTE, Scope.JOBS_READ}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def telling(temporal_address: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    """An engine that may call this machine, and tries twice in a row."""
    folder = tmp_path_factory.mktemp("webhooks")
    settings: dict[str, Any] = {"webhook_allow_private": True, "webhook_retry_schedule": "0,0.1"}
    async with running_engine(temporal_address, folder, [TEST_PLUGIN], **settings) as engine:
        yield engine


@pytest.fixture
def hooked(telling: Engine, request: pytest.FixtureRequest) -> FastAPI:
    """The application with three callers whose names are new for each test."""
    name = request.node.name
    outsider = set(Scope) - {Scope.ADMIN, Scope.JOBS_READ}
    keys = Keys(
        **{f"alice {name}": RIGHTS, f"bob {name}": RIGHTS, f"root {name}": {Scope.ADMIN}, f"outsider {name}": outsider}
    )
    return create_app(Fixed(replace(telling.services, access=keys)))


def caller(hooked: FastAPI, request: pytest.FixtureRequest, who: str) -> httpx2.AsyncClient:
    return over(hooked, Authorization=f"Bearer {who} {request.node.name}")


@pytest.fixture
async def alice(hooked: FastAPI, request: pytest.FixtureRequest) -> AsyncIterator[httpx2.AsyncClient]:
    async with caller(hooked, request, "alice") as client:
        yield client


@pytest.fixture
async def bob(hooked: FastAPI, request: pytest.FixtureRequest) -> AsyncIterator[httpx2.AsyncClient]:
    async with caller(hooked, request, "bob") as client:
        yield client


@pytest.fixture
async def root(hooked: FastAPI, request: pytest.FixtureRequest) -> AsyncIterator[httpx2.AsyncClient]:
    async with caller(hooked, request, "root") as client:
        yield client


async def registered(client: httpx2.AsyncClient, url: str = URL, **more: Any) -> dict[str, Any]:
    answer = await client.post("/v1/webhooks", json={"url": url, "events": BOTH, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def settled(client: httpx2.AsyncClient, path: str, count: int = 1) -> list[dict[str, Any]]:
    """The deliveries at a path once there are `count` of them and none is pending."""

    async def look() -> list[dict[str, Any]]:
        answer = await client.get(f"{path}/deliveries")
        assert answer.status_code == 200, answer.text
        return answer.json()["deliveries"]

    return await eventually(look, lambda rows: len(rows) == count and all(one["state"] != "pending" for one in rows))


async def ran(client: httpx2.AsyncClient, **more: Any) -> str:
    answer = await client.post("/v1/agents/t_echo/execute", json={"input": {}, "async": True, **more})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


@ledger("D-098", "D-099")
async def test_the_documented_registration(alice: httpx2.AsyncClient):
    body = {"url": URL, "events": BOTH, "secret": "webhook_secret_key"}
    answer = await alice.post("/v1/webhooks", json=body)
    content = answer.json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/v1/webhooks/{content['id']}"
    assert answer.headers["Cache-Control"] == "no-store"
    assert (content["url"], content["events"], content["active"]) == (URL, BOTH, True)
    assert content["created_at"].endswith("Z")
    assert "secret" not in content
    assert (await alice.get(f"/v1/webhooks/{content['id']}")).json() == content


async def test_a_secret_that_was_made_is_shown_once(alice: httpx2.AsyncClient):
    webhook = await registered(alice)
    assert webhook["secret"].startswith("whsec_")
    assert len(webhook["secret"]) > 40
    for path in ("/v1/webhooks", f"/v1/webhooks/{webhook['id']}"):
        assert "secret" not in (await alice.get(path)).text


async def test_webhooks_are_their_owner_s(alice: httpx2.AsyncClient, bob: httpx2.AsyncClient, root: httpx2.AsyncClient):
    hers = await registered(alice)
    his = await registered(bob)
    page = (await alice.get("/v1/webhooks")).json()
    assert [one["id"] for one in page["webhooks"]] == [hers["id"]]
    assert (page["total"], page["limit"], page["offset"]) == (1, 20, 0)
    everybody = (await root.get("/v1/webhooks", params={"limit": 100})).json()["webhooks"]
    assert {hers["id"], his["id"]} <= {one["id"] for one in everybody}
    assert (await root.get(f"/v1/webhooks/{hers['id']}")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/rotate-secret"),
        ("POST", "/test"),
        ("GET", "/deliveries"),
        ("POST", "/deliveries/whd_1/redeliver"),
    ],
)
async def test_another_owner_s_webhook_is_unknown(
    alice: httpx2.AsyncClient, bob: httpx2.AsyncClient, method: str, path: str
):
    hers = await registered(alice)
    body = {"json": {}} if method == "PATCH" else {}
    for webhook_id in (hers["id"], "wh_unknown"):
        answer = await bob.request(method, f"/v1/webhooks/{webhook_id}{path}", **body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_a_key_is_needed(hooked: FastAPI):
    async with over(hooked) as nobody:
        assert (await nobody.get("/v1/webhooks")).status_code == 401


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"events": ["job.completed", "job.exploded"]}, "events"),
        ({"events": ["webhook.test"]}, "events"),
        ({"events": []}, "events"),
        ({"events": "job.completed"}, "events"),
        ({"url": "ftp://example.com/x"}, "url"),
        ({"url": "https://"}, "url"),
        ({"url": "https://user:password@example.com/"}, "url"),
        ({"secret": ""}, "secret"),
        ({"secret": "x" * 257}, "secret"),
        ({"secret": "whsec_"}, "secret"),
        ({"secret": "whsec_not base64!"}, "secret"),
        ({"secret": "whsec_YWJj=ZGVm"}, "secret"),
        ({"secret": "whsec_YWJjZA"}, "secret"),  # without its padding Python's library cannot read it
        ({"more": 1}, "more"),
    ],
)
async def test_bad_registrations_are_refused_by_name(alice: httpx2.AsyncClient, change: dict[str, Any], field: str):
    answer = await alice.post("/v1/webhooks", json={"url": URL, "events": BOTH, **change})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "invalid_request")
    assert error["details"]["field"].startswith(field)
    assert (await alice.get("/v1/webhooks")).json()["total"] == 0


@ledger("D-096")
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"events": []}, "at least 1 items"),
        ({"events": BOTH * 11}, "at most 20 items"),
        ({"secret": "x" * 257}, "at most 256 characters"),
        ({"url": "https://bücher.example/"}, "an http or https URL in ASCII"),
    ],
)
async def test_a_refusal_says_what_would_do(alice: httpx2.AsyncClient, change: dict[str, Any], expected: str):
    answer = await alice.post("/v1/webhooks", json={"url": URL, "events": BOTH, **change})
    assert answer.json()["error"]["details"]["expected"] == expected


@ledger("D-096")
async def test_a_body_that_is_no_object_is_refused(alice: httpx2.AsyncClient):
    answer = await alice.post("/v1/webhooks/wh_any/rotate-secret", json=["x"])
    assert answer.json()["error"]["message"] == "Invalid value for body: expected object"


@pytest.mark.parametrize("secret", ["hunter2" * 50, ["hunter2"], {"is": "hunter2"}])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/webhooks", {"url": URL, "events": BOTH}),
        ("PATCH", "/v1/webhooks/wh_any", {}),
        ("POST", "/v1/webhooks/wh_any/rotate-secret", {}),
        ("POST", "/chat/v2/webhooks", {"url": URL, "events": ["chat.completed"]}),
        ("POST", "/api/webhooks", {"url": URL, "events": ["execution.completed"]}),
    ],
)
async def test_a_secret_that_is_refused_is_not_repeated(
    alice: httpx2.AsyncClient, method: str, path: str, body: dict[str, Any], secret: Any
):
    answer = await alice.request(method, path, json={**body, "secret": secret})
    assert "hunter2" not in answer.text


@ledger("D-015")
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/webhooks", {"url": URL, "events": BOTH}),
        ("PATCH", "/v1/webhooks/wh_any", {"url": URL}),
        ("DELETE", "/v1/webhooks/wh_any", None),
        ("POST", "/v1/webhooks/wh_any/rotate-secret", None),
        ("POST", "/v1/webhooks/wh_any/test", None),
        ("POST", "/v1/webhooks/wh_any/deliveries/whd_any/redeliver", None),
    ],
)
async def test_a_key_that_may_not_read_jobs_cannot_have_their_outputs_sent_anywhere(
    hooked: FastAPI, request: pytest.FixtureRequest, method: str, path: str, body: dict[str, Any] | None
):
    async with caller(hooked, request, "outsider") as client:
        answer = await client.request(method, path, json=body)
        assert (await client.get("/v1/webhooks")).json()["total"] == 0
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    assert "jobs:read" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/chat/v2/webhooks", "/api/webhooks"])
async def test_nor_through_another_surface(hooked: FastAPI, request: pytest.FixtureRequest, path: str):
    async with caller(hooked, request, "outsider") as client:
        answer = await client.post(path, json={"url": URL, "events": ["chat.completed"]})
        assert (await client.get("/v1/webhooks")).json()["total"] == 0
    assert answer.status_code == 403
    assert "jobs:read" in answer.text


@ledger("D-015", "D-024")
async def test_a_key_that_may_not_read_jobs_cannot_name_a_callback(hooked: FastAPI, request: pytest.FixtureRequest):
    body = {"input": {}, "webhook_url": URL}
    async with caller(hooked, request, "outsider") as client:
        for path in ("/v1/agents/t_echo/execute", "/v1/workflows/t_three/run"):
            answer = await client.post(path, json={**body, "async": True})
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
            assert "jobs:read" in answer.json()["error"]["message"]
        waited = await client.post("/v1/agents/t_echo/execute", json=body)
    assert waited.status_code == 200, "without async there is no callback"


async def test_an_unknown_event_is_answered_with_the_known_ones(alice: httpx2.AsyncClient):
    answer = await alice.post("/v1/webhooks", json={"url": URL, "events": ["execution.exploded"]})
    expected = answer.json()["error"]["details"]["expected"]
    assert all(event in expected for event in (*BOTH, "webhook.disabled"))
    far = await alice.post("/v1/webhooks", json={"url": URL, "events": ["zzz"]})
    assert far.json()["error"]["message"] == f"Unknown event: 'zzz'. Expected {expected}"
    near = await alice.post("/v1/webhooks", json={"url": URL, "events": ["job.complete"]})
    assert near.json()["error"]["message"] == "Unknown event: 'job.complete'. Did you mean 'job.completed'?"


async def test_private_addresses_are_refused_unless_they_are_allowed(client: httpx2.AsyncClient):
    before = (await client.get("/v1/webhooks")).json()["total"]
    for url in (URL, "http://[::1]/hook", "http://169.254.169.254/latest", "http://10.0.0.1/"):
        answer = await client.post("/v1/webhooks", json={"url": url, "events": BOTH})
        assert (answer.status_code, answer.json()["error"]["details"]["field"]) == (400, "url"), url
        start = {"input": {}, "async": True, "webhook_url": url}
        answer = await client.post("/v1/agents/t_echo/execute", json=start)
        assert (answer.status_code, answer.json()["error"]["details"]["field"]) == (400, "webhook_url"), url
    assert (await client.get("/v1/webhooks")).json()["total"] == before


async def test_fifty_webhooks_are_enough(alice: httpx2.AsyncClient):
    for _ in range(MAX_WEBHOOKS):
        last = await registered(alice)
    answer = await alice.post("/v1/webhooks", json={"url": URL, "events": BOTH})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
    assert (await alice.delete(f"/v1/webhooks/{last['id']}")).status_code == 204
    await registered(alice)


async def test_a_webhook_is_changed_and_switched_off_and_on(alice: httpx2.AsyncClient):
    path = f"/v1/webhooks/{(await registered(alice))['id']}"
    changed = (await alice.patch(path, json={"url": f"{URL}2", "events": ["job.failed"]})).json()
    assert (changed["url"], changed["events"], changed["active"]) == (f"{URL}2", ["job.failed"], True)
    off = (await alice.patch(path, json={"active": False})).json()
    assert (off["active"], off["disabled_reason"]) == (False, "Switched off on request")
    refused = await alice.post(f"{path}/test")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_request")
    on = (await alice.patch(path, json={"active": True})).json()
    assert (on["active"], on["disabled_reason"], on["disabled_at"]) == (True, None, None)
    assert (await alice.patch(path, json={"events": ["nothing"]})).status_code == 400
    assert (await alice.delete(path)).status_code == 204
    assert (await alice.get(path)).status_code == 404


async def test_a_test_reports_at_once_what_the_receiver_says(alice: httpx2.AsyncClient):
    async with receiving(TAKEN, FAILED) as receiver:
        webhook = await registered(alice, receiver.url)
        path = f"/v1/webhooks/{webhook['id']}"
        answer = await alice.post(f"{path}/test")
        assert (answer.status_code, answer.json()["state"], answer.json()["event"]) == (202, "pending", "webhook.test")
        (row,) = await settled(alice, path)
        assert (row["id"], row["state"]) == (answer.json()["id"], "delivered")
        await alice.post(f"{path}/test")
        newest, _ = await settled(alice, path, 2)
        assert (newest["state"], newest["attempts"][0]["status"]) == ("failed", 500)
        assert len(newest["attempts"]) == 1
        body = json.loads(receiver.requests[0].body)
    assert (body["event"], body["job_id"], body["data"]) == ("webhook.test", None, {"webhook_id": webhook["id"]})
    assert (await alice.get(path)).json()["active"]


@ledger("D-100", "D-101", "D-102")
async def test_the_documented_check_of_the_signature_holds(alice: httpx2.AsyncClient):
    async with receiving(TAKEN) as receiver:
        webhook = await registered(alice, receiver.url, secret="webhook_secret_key")
        await ran(alice)
        await settled(alice, f"/v1/webhooks/{webhook['id']}")
        (request,) = receiver.requests
    payload = request.body.decode()
    signature = request.headers["x-devora-signature"]
    assert verify_webhook(payload, signature, "webhook_secret_key")
    assert not verify_webhook(payload.replace("completed", "failed"), signature, "webhook_secret_key")
    assert not verify_webhook(payload, signature, "another_secret")
    assert set(json.loads(payload)) == {"event", "job_id", "timestamp", "data", "signature"}
    assert {"status", "output", "metrics"} <= set(json.loads(payload)["data"])


async def test_both_secrets_sign_while_they_overlap(alice: httpx2.AsyncClient):
    async with receiving(TAKEN, TAKEN) as receiver:
        webhook = await registered(alice, receiver.url)
        path = f"/v1/webhooks/{webhook['id']}"
        rotated = (await alice.post(f"{path}/rotate-secret")).json()
        assert rotated["secret"] not in {None, webhook["secret"]}
        assert rotated["previous_until"] > rotated["updated_at"]
        await alice.post(f"{path}/test")
        await settled(alice, path)
        ended = (await alice.post(f"{path}/rotate-secret", json={"overlap_seconds": 0, "secret": "mine"})).json()
        assert ended["previous_until"] is None
        assert "secret" not in ended
        await alice.post(f"{path}/test")
        await settled(alice, path, 2)
        both, one = receiver.requests
    for secret in (webhook["secret"], rotated["secret"]):
        StandardWebhook(secret).verify(both.body, both.headers)
    with pytest.raises(WebhookVerificationError):
        StandardWebhook(rotated["secret"]).verify(one.body, one.headers)
    assert len(one.headers["webhook-signature"].split()) == 1
    assert verify_webhook(both.body.decode(), both.headers["x-devora-signature"], rotated["secret"])
    assert verify_webhook(one.body.decode(), one.headers["x-devora-signature"], "mine")


async def test_the_log_reports_every_attempt(alice: httpx2.AsyncClient):
    async with receiving(FAILED, TAKEN) as receiver:
        webhook = await registered(alice, receiver.url)
        path = f"/v1/webhooks/{webhook['id']}"
        job_id = await ran(alice)
        (row,) = await settled(alice, path)
    assert (row["webhook_id"], row["job_id"], row["event"]) == (webhook["id"], job_id, "job.completed")
    assert (row["url"], row["state"], row["next_attempt_at"]) == (receiver.url, "delivered", None)
    assert [(one["number"], one["verdict"], one["status"]) for one in row["attempts"]] == [
        (1, "retry", 500),
        (2, "delivered", 200),
    ]
    assert all(one["at"].endswith("Z") and one["duration"] >= 0 for one in row["attempts"])
    for state, total in (("delivered", 1), ("failed", 0), ("pending", 0)):
        assert (await alice.get(f"{path}/deliveries", params={"state": state})).json()["total"] == total
    assert (await alice.get(f"{path}/deliveries", params={"state": "lost"})).status_code == 400


async def test_a_message_is_sent_once_more_under_the_same_id(alice: httpx2.AsyncClient, bob: httpx2.AsyncClient):
    async with receiving(TAKEN, TAKEN) as receiver:
        webhook = await registered(alice, receiver.url)
        path = f"/v1/webhooks/{webhook['id']}"
        await ran(alice)
        (first,) = await settled(alice, path)
        answer = await alice.post(f"{path}/deliveries/{first['id']}/redeliver")
        assert answer.status_code == 202
        assert answer.json()["id"] != first["id"]
        assert answer.json()["message_id"] == first["message_id"]
        await settled(alice, path, 2)
        bodies = {request.body for request in receiver.requests}
        assert (len(receiver.requests), len(bodies)) == (2, 1)
        assert {request.headers["webhook-id"] for request in receiver.requests} == {first["message_id"]}
        assert (await alice.post(f"{path}/deliveries/whd_unknown/redeliver")).status_code == 404
        his = await registered(bob, receiver.url)
        stolen = f"/v1/webhooks/{his['id']}/deliveries/{first['id']}/redeliver"
        assert (await bob.post(stolen)).status_code == 404


@ledger("D-023", "D-103")
async def test_a_callback_receives_its_own_job_alone(
    telling: Engine, alice: httpx2.AsyncClient, bob: httpx2.AsyncClient, request: pytest.FixtureRequest
):
    async with receiving(TAKEN) as receiver:
        job_id = await ran(alice, webhook_url=receiver.url)
        (row,) = await settled(alice, f"/v1/jobs/{job_id}")
        await settled(alice, f"/v1/jobs/{await ran(alice)}", 0)
        (call,) = receiver.requests
    assert (row["webhook_id"], row["job_id"], row["state"]) == (None, job_id, "delivered")
    secret = callback_secrets(telling.parts.backend.sealer, f"alice {request.node.name}")[0]
    assert verify_webhook(call.body.decode(), call.headers["x-devora-signature"], secret)
    assert json.loads(call.body)["job_id"] == job_id
    assert (await bob.get(f"/v1/jobs/{job_id}/deliveries")).status_code == 404


@ledger("D-024")
async def test_a_synchronous_call_leaves_its_callback_alone(alice: httpx2.AsyncClient):
    async with receiving(TAKEN) as receiver:
        body = {"input": {}, "async": False, "webhook_url": receiver.url}
        answer = await alice.post("/v1/agents/t_echo/execute", json=body)
        assert (answer.status_code, answer.json()["status"]) == (200, "completed")
        assert await settled(alice, f"/v1/jobs/{answer.json()['job_id']}", 0) == []
        assert receiver.requests == []


async def test_webhooks_and_their_deliveries_are_walked(alice: httpx2.AsyncClient):
    ids = [(await registered(alice))["id"] for _ in range(3)]
    webhooks = await walked(alice, "/v1/webhooks", "webhooks")
    path = f"/v1/webhooks/{ids[0]}/deliveries"
    sent = [(await alice.post(f"/v1/webhooks/{ids[0]}/test")).json()["id"] for _ in range(3)]
    deliveries = await walked(alice, path, "deliveries")
    assert [row["id"] for row in webhooks] == ids  # oldest first
    assert [row["id"] for row in deliveries] == sent[::-1]
    refused = await alice.get(path, params={"after": "x"})
    assert (refused.status_code, refused.json()["error"]["details"]["field"]) == (400, "after")
