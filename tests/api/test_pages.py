"""Lists page by page: cursors, what a wrong one is answered, and the filters of jobs."""

import base64
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from orchestrator.domain.access import Scope
from orchestrator.domain.limits import Tier
from tests.api.conftest import over
from tests.api.test_jobs import ended, start

Issue = Callable[..., Awaitable[dict[str, str]]]
LISTS = ["/v1/jobs", "/v1/webhooks", "/v1/auth/api-keys", "/v1/audit"]


async def walked(client: httpx2.AsyncClient, path: str, rows: str, **query: Any) -> list[dict[str, Any]]:
    """Every row of a list, two at a time."""
    found: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        answer = await client.get(path, params={**query, **after, "limit": 2})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert page["has_more"] is (page["next"] is not None)
        found += page[rows]
        if not page["has_more"]:
            return found
        assert len(page[rows]) == 2
        after = {"after": page["next"]}


async def test_jobs_are_walked_while_others_start(app: FastAPI, key: Issue):
    async with over(app, **await key()) as caller:
        ids = [await start(caller, "t_three") for _ in range(5)]
        first = (await caller.get("/v1/jobs", params={"limit": 3})).json()
        newer = await start(caller, "t_three")
        rest = (await caller.get("/v1/jobs", params={"limit": 3, "after": first["next"]})).json()
        everything = await walked(caller, "/v1/jobs", "jobs")
    assert [row["job_id"] for row in first["jobs"] + rest["jobs"]] == ids[::-1]
    assert (first["total"], first["has_more"]) == (5, True)
    assert (rest["total"], rest["has_more"], rest["next"]) == (6, False, None)
    assert [row["job_id"] for row in everything] == [newer, *ids[::-1]]


async def test_an_offset_says_whether_there_is_more(app: FastAPI, key: Issue):
    async with over(app, **await key()) as caller:
        for _ in range(3):
            await start(caller, "t_three")
        pages = [(await caller.get("/v1/jobs", params={"limit": 2, "offset": n})).json() for n in (0, 1, 2, 3)]
    assert [(len(page["jobs"]), page["has_more"]) for page in pages] == [(2, True), (2, False), (1, False), (0, False)]


async def test_keys_and_the_audit_trail_are_walked(client: httpx2.AsyncClient):
    new = {"name": "k", "scopes": ["jobs:read"]}
    issued = [(await client.post("/v1/auth/api-keys", json=new)).json()["id"] for _ in range(3)]
    keys = [row["id"] for row in await walked(client, "/v1/auth/api-keys", "keys")]
    assert len(keys) == len(set(keys))
    assert [id for id in keys if id in issued] == issued[::-1]
    query = {"action": "POST /v1/auth/api-keys", "limit": 2}
    page = (await client.get("/v1/audit", params=query)).json()
    assert isinstance(page["next"], str)
    later = (await client.get("/v1/audit", params={**query, "after": page["next"]})).json()["entries"]
    earlier_name = (await client.get("/v1/audit", params={**query, "before": page["next"]})).json()["entries"]
    assert later == earlier_name
    assert {row["id"] for row in page["entries"]}.isdisjoint(row["id"] for row in later)


async def test_users_have_no_cursor(client: httpx2.AsyncClient):
    assert (await client.get("/v1/users", params={"after": "x"})).status_code == 400


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


WRONG = [
    "",
    "x",
    "é",
    "0",
    encoded("webhooksx|2026-11-20T12:00:00+00:00|id"),
    encoded("jobs|2026-11-20T12:00:00|id"),
    encoded("jobs|0001-01-01T00:00:00+23:00|id"),
    encoded("jobs|yesterday|id"),
    encoded("jobs|2026-11-20T12:00:00+00:00|\0"),
    encoded("jobs|2026-11-20T12:00:00+00:00"),
    "x" * 2000,
]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("cursor", WRONG, ids=range(len(WRONG)))
async def test_what_is_no_cursor_says_so(client: httpx2.AsyncClient, path: str, cursor: str):
    answer = await client.get(path, params={"after": cursor})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["details"]["field"]) == (400, "invalid_request", "after")


async def test_a_cursor_is_of_one_list_and_stands_alone(client: httpx2.AsyncClient, app: FastAPI, key: Issue):
    for _ in range(2):
        await client.post("/v1/auth/api-keys", json={"name": "k", "scopes": ["jobs:read"]})
    cursor = (await client.get("/v1/auth/api-keys", params={"limit": 1})).json()["next"]
    assert (await client.get("/v1/jobs", params={"after": cursor})).status_code == 400
    both = await client.get("/v1/auth/api-keys", params={"after": cursor, "offset": 1})
    assert (both.status_code, both.json()["error"]["details"]["field"]) == (400, "after")


async def test_jobs_by_state_and_time(app: FastAPI, key: Issue):
    async with over(app, **await key(scopes=set(Scope) - {Scope.ADMIN}, tier=Tier.ENTERPRISE)) as caller:
        completed = await start(caller, "t_three")
        await ended(caller, completed)
        between = datetime.now(UTC).isoformat()
        waiting = await start(caller, "t_approval")
        assert (await caller.post(f"/v1/jobs/{waiting}/cancel")).status_code == 200

        async def ids(**query: Any) -> list[str]:
            answer = await caller.get("/v1/jobs", params=query)
            assert answer.status_code == 200, answer.text
            return [row["job_id"] for row in answer.json()["jobs"]]

        assert await ids(state="CANCELLED") == [waiting]
        assert await ids(state=["CANCELLED", "COMPLETED"]) == [waiting, completed]
        assert await ids(state="CANCELLED", status="completed") == []
        assert await ids(since=between) == [waiting]
        assert await ids(until=between) == [completed]
        assert await ids(since=between, workflow_id="t_three") == []
        for wrong in ({"state": "DONE"}, {"since": "yesterday"}, {"since": "2026-11-20T12:00:00"}):
            refused = await caller.get("/v1/jobs", params=wrong)
            assert (refused.status_code, refused.json()["error"]["details"]["field"].split(".")[0]) == (
                400,
                next(iter(wrong)),
            )


async def test_jobs_by_label(app: FastAPI, key: Issue):
    async with over(app, **await key()) as caller:

        async def labelled(labels: dict[str, str]) -> str:
            body = {"input": {}, "async": True, "labels": labels}
            return str((await caller.post("/v1/workflows/t_three/run", json=body)).json()["job_id"])

        press = await labelled({"team": "press", "desk": "a:b"})
        sales = await labelled({"team": "sales"})
        await labelled({})

        async def ids(*labels: str) -> list[str]:
            return [row["job_id"] for row in await walked(caller, "/v1/jobs", "jobs", label=list(labels))]

        assert await ids("team:press") == [press]
        assert await ids("team:sales") == [sales]
        assert await ids("team:press", "desk:a:b") == [press]
        family = "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u202eevil"  # has characters that are not printable
        odd = await labelled({"team": family})
        assert await ids(f"team:{family}") == [odd]
        assert await ids("team:press", "desk:b") == await ids("team:Press") == []
        assert (await caller.get(f"/v1/jobs/{press}")).json()["labels"] == {"team": "press", "desk": "a:b"}
        for wrong in ("team", ":x", "a\0:b"):
            refused = await caller.get("/v1/jobs", params={"label": wrong})
            error = refused.json()["error"]
            assert (refused.status_code, error["details"]["field"]) == (400, "label")
            assert error["message"] == f"invalid label {wrong!r}: expected NAME:VALUE, each name once"


@pytest.mark.parametrize(
    "labels", [{"priority": "high"}, {"surface": "x"}, {"a b": "c"}, {"a": "x" * 61}, {"a": 1}, {"a": "\n"}]
)
async def test_labels_that_are_refused(client: httpx2.AsyncClient, labels: dict[str, Any]):
    body = {"input": {}, "async": True, "labels": labels}
    refused = await client.post("/v1/workflows/t_three/run", json=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_request")


async def test_labels_are_part_of_the_request(client: httpx2.AsyncClient):
    headers = {"Idempotency-Key": f"labels-{datetime.now(UTC).isoformat()}"}
    body = {"input": {}, "async": True, "labels": {"team": "press"}}
    assert (await client.post("/v1/agents/t_echo/execute", json=body, headers=headers)).status_code == 202
    other = await client.post("/v1/agents/t_echo/execute", json={**body, "labels": {}}, headers=headers)
    assert other.status_code == 422
