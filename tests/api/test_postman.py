"""The Postman collections: one request for each operation, and every one of them is understood by the server."""

import json
import re
from collections import Counter
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from api.dialects.surface import Surface
from api.openapi import document_of
from api.surfaces import SURFACES
from orchestrator.testing import ADMIN_KEY
from tests.api.test_jobs import ended, start
from tests.ledger import ledger

# Each request on one of these gets one of its own: some requests delete it.
MADE_BY = {
    "webhook_id": ("/v1/webhooks", {"url": "https://example.com/hook", "events": ["job.completed"]}),
    "key_id": ("/v1/auth/api-keys", {"name": "of a collection", "scopes": ["jobs:read"]}),
}
_VARIABLE = re.compile(r"{{([\w$]+)}}")


async def collection(client: httpx2.AsyncClient, name: str) -> dict[str, Any]:
    answer = await client.get(f"/postman/{name}.json", headers={"Authorization": ""})
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    return body


def requests_of(collection: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(item["name"], item["request"]) for folder in collection["item"] for item in folder["item"]]


@ledger("S-035")
@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
async def test_a_collection_has_each_operation_once(client: httpx2.AsyncClient, surface: Surface):
    body = await collection(client, surface.name)
    sent = Counter(
        (request["method"], "/" + re.sub(r":(\w+)", r"{\1}", "/".join(request["url"]["path"])))
        for _, request in requests_of(body)
    )
    documented = Counter(
        (method.upper(), path) for path, methods in document_of(surface)["paths"].items() for method in methods
    )
    assert sent == documented
    assert body["info"]["schema"].endswith("/v2.1.0/collection.json")
    assert body["variable"][0] == {"key": "baseUrl", "value": "http://testserver"}


def filled(text: str, values: dict[str, str]) -> str:
    return _VARIABLE.sub(lambda match: values.get(match[1], "none"), text)


async def sent(client: httpx2.AsyncClient, request: dict[str, Any], values: dict[str, str]) -> httpx2.Response:
    """Send a request as Postman does: the part that is switched on, with variables filled in."""
    url = request["url"]
    parts = {each["key"]: filled(each["value"], values) for each in url["variable"]}
    path = "/".join(parts[part[1:]] if part.startswith(":") else part for part in url["path"])
    query = {each["key"]: filled(each["value"], values) for each in url["query"] if not each.get("disabled")}
    headers = {each["key"]: filled(each["value"], values) for each in request["header"] if not each.get("disabled")}
    if request.get("auth") != {"type": "noauth"}:
        headers["Authorization"] = f"Bearer {values['apiKey']}"
    content = filled(request["body"]["raw"], values) if "body" in request else None
    return await client.request(request["method"], f"/{path}", params=query, headers=headers, content=content)


@ledger("S-035")
async def test_every_request_of_the_native_collection_is_understood(client: httpx2.AsyncClient):
    job_id = await start(client, "t_three")
    await ended(client, job_id)
    values = {
        "apiKey": ADMIN_KEY,
        "job_id": job_id,
        "agent_id": "product_manager",
        "workflow_id": "market_research",
        "username": "text",
        "password": "correct horse battery",
        "delivery_id": "whd_none",
        "name": "go",
    }
    answers: dict[str, httpx2.Response] = {}
    made = await collection(client, "devora")
    for name, request in requests_of(made):
        if request["url"]["raw"].endswith("/v1/events"):
            continue  # a stream that does not end
        values["$guid"] = str(uuid4())
        for variable in request["url"]["variable"]:
            if (made_by := MADE_BY.get(variable["key"])) is not None:
                path, body = made_by
                values[variable["key"]] = (await client.post(path, json=body)).json()["id"]
        answers[name] = await sent(client, request, values)
    refused = {}
    for name, answer in answers.items():
        error = answer.json().get("error", {}) if answer.content and answer.status_code >= 400 else {}
        if answer.status_code in (401, 403, 405, 422, 500) or error.get("details", {}).get("field"):
            refused[name] = (answer.status_code, json.dumps(error))
    assert refused == {}
    started = {name for name, answer in answers.items() if answer.status_code == 202}
    assert {"Run one agent", "Run one workflow"} <= started
    for schedule in (await client.get("/v1/schedules", params={"limit": 100})).json()["schedules"]:
        if schedule["input"] == {"topic": "A shop for tea"}:
            await client.delete(f"/v1/schedules/{schedule['schedule_id']}")
    for name in started:
        await client.post(f"/v1/jobs/{answers[name].json()['job_id']}/cancel")


async def test_variables_of_optional_parameters_are_switched_off(client: httpx2.AsyncClient):
    by_name = dict(requests_of(await collection(client, "devora")))
    query = by_name["The caller's jobs, newest first"]["url"]["query"]
    assert {each["key"] for each in query} >= {"status", "label", "limit", "after"}
    assert all(each["disabled"] for each in query)
