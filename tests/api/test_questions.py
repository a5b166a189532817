"""Questions to people over HTTP: what a waiting job shows, who may answer, and what is refused before it counts."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
from fastapi import FastAPI

from orchestrator.testing import eventually
from tests.api.conftest import ADMIN, over
from tests.api.test_jobs import ended

Issue = Callable[..., Awaitable[dict[str, str]]]
STREET = {"street": "Long Street 5"}
WHOLE = {**STREET, "floor": 0, "express": False}


async def asked(client: httpx2.AsyncClient, input: dict[str, Any] | None = None, **more: Any) -> str:
    """A job that waits for an address."""
    answer = await client.post("/v1/workflows/t_form/run", json={"input": input or {}, "async": True}, **more)
    assert answer.status_code == 202, answer.text
    job_id = str(answer.json()["job_id"])

    async def questions() -> list[dict[str, Any]]:
        return list((await client.get(f"/v1/jobs/{job_id}/questions", **more)).json()["questions"])

    await eventually(questions, bool)
    return job_id


async def answered(client: httpx2.AsyncClient, job_id: str, values: Any, step: str = "address", **more: Any) -> Any:
    body = {"step": step, "values": values, **more.pop("body", {})}
    return await client.post(f"/v1/jobs/{job_id}/answers", json=body, **more)


async def test_a_waiting_job_shows_its_form_and_then_who_answered(client: httpx2.AsyncClient) -> None:
    job_id = await asked(client)
    job = (await client.get(f"/v1/jobs/{job_id}")).json()
    reason, (question,) = job["reason"], job["questions"]
    assert (reason["code"], reason["message"], reason["question"]) == (
        "waiting_for_input",
        "Where does it go?",
        "address",
    )
    assert reason["input_schema"] == question["input_schema"]
    assert question["input_schema"]["required"] == ["street"]
    assert reason["deadline"] == question["deadline"]
    assert (question["kind"], question["status"], question["answer"]) == ("form", "open", None)
    listed = (await client.get("/v1/jobs", params={"reason": "waiting_for_input", "needs_attention": True})).json()
    assert job_id in [each["job_id"] for each in listed["jobs"]]

    answer = await answered(client, job_id, STREET, body={"note": "at the back"})
    assert answer.status_code == 200, answer.text
    given = answer.json()["question"]
    assert (given["status"], given["answer"]["values"], given["answer"]["actor"]) == ("answered", WHOLE, "admin")
    job = await ended(client, job_id)
    assert job["output"]["output"] == "Long Street 5, floor 0"
    assert job["questions"] == [given]
    events = (await client.get(f"/v1/jobs/{job_id}/events")).json()["events"]
    (event,) = [each for each in events if each["name"] == "question.answered"]
    assert (event["data"]["actor"], event["data"]["note"], event["data"]["values"]) == ("admin", "at the back", WHOLE)
    trail = (await client.get("/v1/audit", params={"limit": 100})).json()["entries"]
    assert f"/v1/jobs/{job_id}/answers" in [entry["path"] for entry in trail]


async def test_a_wrong_answer_is_refused_by_its_field(client: httpx2.AsyncClient) -> None:
    job_id = await asked(client)
    wrong: list[tuple[Any, str]] = [
        ({}, "street"),
        ({"street": 7}, "street"),
        ({"street": "Long Street"}, "street"),  # known to the model of the code alone
        ({**STREET, "floor": "top"}, "floor"),
        ({**STREET, "flor": 3}, "flor"),
        ({"street": "Long Street 5" * 4000}, "values"),
        ("Long Street 5", "values"),
    ]
    for values, field in wrong:
        answer = await answered(client, job_id, values)
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["details"]["field"] == field
    job = (await client.get(f"/v1/jobs/{job_id}")).json()
    assert job["questions"][0]["status"] == "open"
    await client.post(f"/v1/jobs/{job_id}/cancel")


async def test_a_question_that_is_not_asked_is_named(client: httpx2.AsyncClient) -> None:
    job_id = await asked(client)
    answer = await answered(client, job_id, STREET, step="adress")
    assert answer.status_code == 400
    assert answer.json()["error"]["details"] | {} == {
        "field": "step",
        "provided": "adress",
        "expected": "one of: address",
    }
    unknown = await client.post(f"/v1/jobs/{job_id}/answers", json={"step": "address", "values": {}, "value": 1})
    assert unknown.json()["error"]["details"]["field"] == "value"
    approved = await client.post(f"/v1/jobs/{job_id}/approve")
    assert approved.status_code == 400
    assert "asks a question: answer address" in approved.json()["error"]["message"]
    await client.post(f"/v1/jobs/{job_id}/cancel")


async def test_the_first_answer_stands(client: httpx2.AsyncClient) -> None:
    job_id = await asked(client, {"approval": True})
    # With an answer of every caller at once, all but one value lose.
    answers = await asyncio.gather(
        *(answered(client, job_id, {"street": f"Long Street {number // 2}"}) for number in range(6))
    )
    winners = {answer.json()["question"]["answer"]["values"]["street"] for answer in answers if answer.is_success}
    assert len(winners) == 1
    assert sorted(answer.status_code for answer in answers) == [200, 200, 409, 409, 409, 409]
    again = await answered(client, job_id, {"street": winners.pop()})
    assert again.status_code == 200
    other = await answered(client, job_id, {"street": "Short Street 1"})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "conflict")
    assert (await answered(client, job_id, {"approved": True}, step="ship")).status_code == 200
    job = await ended(client, job_id)
    assert "yes of admin" in job["output"]["output"]
    after = await answered(client, job_id, {"street": "Short Street 1"})
    assert after.status_code == 409
    assert (await answered(client, job_id, {"approved": True}, step="ship")).status_code == 200


async def test_no_answer_after_the_end(client: httpx2.AsyncClient) -> None:
    job_id = await asked(client)
    await client.post(f"/v1/jobs/{job_id}/cancel")
    job = await ended(client, job_id)
    assert job["questions"][0]["status"] == "withdrawn"
    for step in ("address", "other"):
        answer = await answered(client, job_id, STREET, step=step)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")


async def test_a_repeated_request_has_the_first_answer(client: httpx2.AsyncClient) -> None:
    job_id = await asked(client)
    once = {"Idempotency-Key": uuid.uuid4().hex}
    first = await answered(client, job_id, STREET, headers=once)
    again = await answered(client, job_id, STREET, headers=once)
    assert first.status_code == again.status_code == 200
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == first.json()


async def test_who_may_answer(app: FastAPI, key: Issue) -> None:
    owner, desk, other = [await key(owner=f"{name}-{uuid.uuid4().hex[:6]}", name=name) for name in ("o", "desk", "x")]
    async with over(app, **owner) as mine, over(app, **desk) as named, over(app, **other) as theirs:
        open_to_all = await asked(mine)
        assert (await answered(theirs, open_to_all, STREET)).status_code == 404
        assert (await answered(mine, open_to_all, STREET)).status_code == 200
        job_id = await asked(mine, {"by": ["key:desk"]})
        refused = await answered(mine, job_id, STREET)
        assert (refused.status_code, refused.json()["error"]["details"]["by"]) == (403, ["key:desk"])
        assert (await theirs.get(f"/v1/jobs/{job_id}/questions")).status_code == 404
        assert (await answered(theirs, job_id, STREET)).status_code == 404
        assert (await named.get(f"/v1/jobs/{job_id}")).status_code == 404
        (question,) = (await named.get(f"/v1/jobs/{job_id}/questions")).json()["questions"]
        assert (question["id"], question["by"]) == ("address", ["key:desk"])
        answer = await answered(named, job_id, STREET)
        assert answer.status_code == 200
        assert answer.json()["question"]["answer"]["actor"].startswith("desk-")
        assert (await ended(mine, job_id))["status"] == "completed"


async def test_an_answer_needs_the_scope_of_controls(app: FastAPI, key: Issue) -> None:
    async with over(app, **ADMIN) as client, over(app, **await key(scopes={"jobs:read"})) as reader:
        job_id = await asked(client)
        assert (await answered(reader, job_id, STREET)).status_code == 403
        assert (await reader.post(f"/v1/jobs/{job_id}/signals/next")).status_code == 403
        await client.post(f"/v1/jobs/{job_id}/cancel")


async def test_a_declared_signal_reaches_the_workflow_with_its_sender(client: httpx2.AsyncClient) -> None:
    job_id = await asked(client)
    signal = f"/v1/jobs/{job_id}/signals/remark"
    once = {"Idempotency-Key": uuid.uuid4().hex}
    sent = await client.post(signal, json={"input": {"text": "fragile"}}, headers=once)
    assert sent.status_code == 202, sent.text
    assert (await client.post(signal, json={"input": {"text": "fragile"}}, headers=once)).status_code == 202
    await answered(client, job_id, STREET)
    assert (await ended(client, job_id))["output"]["output"] == "Long Street 5, floor 0, fragile x 1"
    events = (await client.get(f"/v1/jobs/{job_id}/events")).json()["events"]
    (event,) = [each for each in events if each["name"] == "signal.remark"]
    assert event["data"] == {"actor": "admin", "input": {"text": "fragile", "weight": 1}}
    late = await client.post(signal, json={"input": {"text": "late"}})
    assert (late.status_code, late.json()["error"]["code"]) == (409, "conflict")


async def test_a_signal_that_does_not_fit_is_refused(client: httpx2.AsyncClient) -> None:
    job_id = await asked(client)
    wrong: list[tuple[str, Any, str]] = [
        ("remark", {"input": {"text": "x"}}, "text"),
        ("remark", {"input": {"text": "fragile", "weight": "heavy"}}, "weight"),
        ("remark", {"input": "fragile"}, "input"),
        ("remark", None, "input"),
        ("remark", {"value": 1}, "value"),
        ("next", {"input": 1}, "input"),
    ]
    for name, body, field in wrong:
        answer = await client.post(f"/v1/jobs/{job_id}/signals/{name}", json=body)
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["details"]["field"] == field
    for name in ("remrak", "pause"):
        answer = await client.post(f"/v1/jobs/{job_id}/signals/{name}", json={"input": {}})
        assert answer.status_code == 404
        assert "approve, next, reject, remark" in answer.json()["error"]["message"]
    names = [each["name"] for each in (await client.get(f"/v1/jobs/{job_id}/events")).json()["events"]]
    assert not [each for each in names if each.startswith("signal.")]
    await client.post(f"/v1/jobs/{job_id}/cancel")
