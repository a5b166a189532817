"""Workflows by type and their sessions, over the whole product (M)."""

import asyncio
import io
import json
import logging
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
from fastapi import FastAPI
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from api import endpoints
from api.dialects.orchestrator import mapping
from orchestrator import logs
from orchestrator.composition.backend import now
from orchestrator.domain.limits import SURFACE_LIMITS, SurfaceLimit
from orchestrator.services.access.rate_limits import RateLimiter, RequestLimits
from orchestrator.testing import Engine, eventually
from tests.api.conftest import ADMIN, over, served
from tests.ledger import ledger

Make = Callable[..., FastAPI]


@pytest.fixture
def make(app_with: Make) -> Make:
    """An application whose limits have counted nothing yet."""

    def fresh(**changes: Any) -> FastAPI:
        return app_with(limits=RequestLimits(RateLimiter(), {}, SURFACE_LIMITS), **changes)

    return fresh


async def start(client: httpx2.AsyncClient, path: str = "/execute-workflow", **body: Any) -> dict[str, Any]:
    answer = await client.post(path, json={"requirements": "Create a calculator", "workflow_type": "t_three", **body})
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


async def status(client: httpx2.AsyncClient, session_id: str) -> dict[str, Any]:
    answer = await client.get(f"/workflow-status/{session_id}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def ended(client: httpx2.AsyncClient, session_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = await eventually(
        lambda: status(client, session_id), lambda seen: seen["status"] in ("completed", "failed")
    )
    return answer


@ledger("M-001", "M-003", "M-009", "M-058", "M-012", "M-013", "M-026", "M-028", "C-32")
async def test_a_session_is_accepted_and_followed_to_its_end(make: Make):
    async with over(make()) as client:
        accepted = await start(client, configuration={"note": "x"})
        assert accepted["status"] == "accepted"
        assert uuid.UUID(accepted["session_id"]).version == 4
        done = await ended(client, accepted["session_id"])
    assert (done["status"], done["progress"], done["current_phase"]) == ("completed", 100, None)
    assert done["phases_completed"]
    assert done["errors"] == []
    assert done["results"]["status"] == "success"
    assert done["completed_at"] is not None
    assert done["failed_at"] is None
    assert "generated_code" in done


@ledger("M-038", "M-039", "M-040")
@pytest.mark.parametrize("path", ["/api/v1/execute-workflow", "/api/v2/execute-workflow"])
async def test_both_versions_start_sessions(make: Make, path: str):
    async with over(make()) as client:
        accepted = await start(client, path)
        assert accepted["status"] == "accepted"
        assert (await ended(client, accepted["session_id"]))["status"] == "completed"


@ledger("M-021", "M-022", "M-004", "M-025")
async def test_a_custom_workflow_is_queued_with_an_estimate(make: Make):
    async with over(make()) as client:
        queued = await start(client, "/custom/execute", priority="critical")
        assert set(queued) == {"session_id", "status", "message", "created_at", "estimated_completion"}
        assert (queued["status"], queued["message"]) == ("queued", "Workflow queued for execution")
        assert queued["estimated_completion"] >= queued["created_at"]
        assert (await ended(client, queued["session_id"]))["status"] == "completed"


@ledger("M-021")
@pytest.mark.parametrize(("priority", "key"), [("critical", 1), ("high", 2), ("normal", 3), ("low", 4)])
async def test_the_priority_is_temporals(make: Make, running: Engine, priority: str, key: int):
    async with over(make(), **ADMIN) as client:
        session_id = (await start(client, priority=priority))["session_id"]
    handle = running.parts.backend.client.get_workflow_handle(mapping.job_of(session_id))
    info = (await handle.describe()).raw_description.workflow_execution_info
    assert info.priority.priority_key == key


@ledger("M-010", "M-023", "M-041", "M-042", "M-043", "M-044", "M-045", "M-057", "C-12")
@pytest.mark.parametrize("path", ["/execute-workflow", "/custom/execute", "/api/v2/execute-workflow"])
async def test_an_unknown_type_is_reported_in_both_shapes(make: Make, path: str):
    async with over(make()) as client:
        answer = await client.post(
            path, json={"requirements": "Test", "workflow_type": "invalid"}, headers={"X-Request-ID": "mine"}
        )
        plain = await client.post(path, json={"requirements": "Test", "workflow_type": "invalid"})
    assert answer.status_code == 400
    body = answer.json()
    assert body["detail"] == "Unknown workflow type: invalid"
    assert (body["error"], body["message"], body["request_id"]) == ("INVALID_INPUT", body["detail"], "mine")
    assert body["details"]["field"] == "workflow_type"
    assert "full" in body["details"]["issue"]
    assert body["timestamp"]
    assert plain.json()["request_id"] == plain.headers["X-Request-ID"]


@ledger("M-044", "M-043")
@pytest.mark.parametrize("path", ["/execute-workflow", "/custom/execute"])
@pytest.mark.parametrize("requirements", ["", " \n\t"])
async def test_requirements_without_a_word_are_invalid_input(make: Make, path: str, requirements: str):
    async with over(make()) as client:
        answer = await client.post(path, json={"requirements": requirements, "workflow_type": "full"})
    assert answer.status_code == 400
    body = answer.json()
    assert (body["error"], body["message"]) == ("INVALID_INPUT", "The provided input is invalid")
    assert body["details"] == {"field": "requirements", "issue": "too short"}


@ledger("M-024", "C-13")
@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"workflow_type": "full"}, id="no-requirements"),
        pytest.param({"requirements": "x"}, id="no-type"),
        pytest.param({"requirements": "x", "workflow_type": "full", "priority": "urgent"}, id="priority"),
        pytest.param({"requirements": 5, "workflow_type": "full"}, id="wrong-type"),
        pytest.param({"requirements": "x", "workflow_type": "full", "configuration": []}, id="configuration"),
    ],
)
async def test_a_malformed_body_is_422_as_fastapi_words_it(make: Make, body: dict[str, Any]):
    async with over(make()) as client:
        answer = await client.post("/execute-workflow", json=body)
    assert answer.status_code == 422
    assert {"type", "loc", "msg"} <= set(answer.json()["detail"][0])
    assert answer.json()["error"] == "VALIDATION_ERROR"


@ledger("M-016")
@pytest.mark.parametrize("session_id", ["8bf3c88e-b504-45a0-a540-3e16c3bde91d", "nothing", "wf_job_1"])
async def test_an_unknown_session_is_not_found(make: Make, session_id: str):
    async with over(make()) as client:
        answer = await client.get(f"/workflow-status/{session_id}")
    assert answer.status_code == 404
    assert answer.json()["detail"] == f"Unknown session: {session_id}"
    assert answer.json()["details"] is None


async def test_the_jobs_of_other_surfaces_are_no_sessions(make: Make, running: Engine):
    job = await running.run("t_three", {"text": "x"})
    session_id = str(uuid.UUID(hex=job.id.rpartition("_")[2]))
    async with over(make()) as client:
        assert (await client.get(f"/workflow-status/{session_id}")).status_code == 404


async def test_a_session_is_a_job_of_the_native_surface(make: Make):
    async with over(make(), **ADMIN) as client:
        accepted = await start(client)
        await ended(client, accepted["session_id"])
        job = (await client.get(f"/v1/jobs/{mapping.job_of(accepted['session_id'])}")).json()
    assert (job["workflow_id"], job["status"]) == ("t_three", "completed")


async def test_no_log_line_contains_the_id_of_a_session(make: Make):
    """The id of a session opens the session, so it is stored like a key; the job's id stands for it."""
    out = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.configure("DEBUG", "json", out)
    try:
        async with served(make()) as url, httpx2.AsyncClient(base_url=url) as client:
            session_id = (await start(client))["session_id"]
            await ended(client, session_id)
            await client.get(f"/workflow-status/{session_id}/nothing")
            async with connect(f"{url.replace('http', 'ws', 1)}/ws/{session_id}") as socket:
                await socket.recv()
            await eventually(lambda: asyncio.sleep(0, out.getvalue()), lambda text: "socket_closed" in text)
    finally:
        root.handlers, root.level = handlers, level
    assert session_id not in out.getvalue()
    assert uuid.UUID(session_id).hex not in out.getvalue()
    assert "Create a calculator" not in out.getvalue(), "nor the input of a job, though details are shown"
    assert '"level": "debug"' in out.getvalue()
    native = mapping.job_of(session_id)
    assert f'"path": "/workflow-status/~{native[7:19]}"' in out.getvalue()
    assert f'"path": "/ws/~{native[7:19]}"' in out.getvalue()


@ledger("M-017", "M-018", "M-007", "M-011")
async def test_the_types_are_listed(make: Make):
    async with over(make()) as client:
        types = (await client.get("/workflow-types")).json()["workflow_types"]
    assert types[0] == "full"
    assert {"full_stack_development", "api_development"} <= set(types)


@ledger("M-032", "M-033", "M-035", "M-036", "C-20")
async def test_a_signed_in_user_owns_the_session(make: Make, running: Engine):
    secret = running.parts.backend.sealer.derived("tokens").hex()
    token = jwt.encode({"sub": f"user-{uuid.uuid4()}", "exp": now() + timedelta(minutes=5)}, secret, "HS256")
    async with over(make(), Authorization=f"Bearer {token}") as client:
        accepted = await start(client, "/protected/execute-workflow")
        await ended(client, accepted["session_id"])
        own = (await client.get("/v1/jobs")).json()
    assert [job["job_id"] for job in own["jobs"]] == [mapping.job_of(accepted["session_id"])]


@ledger("M-033", "M-034")
@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({}, "Not authenticated"),
        ({"Authorization": "Bearer a.b.c"}, "Invalid authentication credentials"),
        ({"Authorization": "Bearer nonsense"}, "Invalid authentication credentials"),
    ],
)
async def test_the_protected_route_wants_a_user(make: Make, headers: dict[str, str], detail: str):
    async with over(make(), **headers) as client:
        answer = await client.post(
            "/protected/execute-workflow", json={"requirements": "x", "workflow_type": "t_three"}
        )
    assert answer.status_code == 401
    assert answer.json()["detail"] == detail
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@ledger("M-037", "C-16", "C-25", "C-65", "M-060")
async def test_ten_calls_a_minute_from_one_address(make: Make):
    body = {"requirements": "Test", "workflow_type": "invalid"}
    async with over(make()) as client:
        first = [await client.post("/execute-workflow", json=body) for _ in range(10)]
        refused = await client.post("/execute-workflow", json=body)
        looked = await client.get(f"/workflow-status/{uuid.uuid4()}")
    assert [answer.status_code for answer in first] == [400] * 10
    assert [int(answer.headers["X-RateLimit-Remaining"]) for answer in first] == list(range(9, -1, -1))
    assert refused.status_code == 429
    assert refused.json()["detail"] == "Rate limit exceeded"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.headers["X-RateLimit-Limit"] == "10"
    assert looked.status_code == 404
    assert SURFACE_LIMITS[SurfaceLimit.EXECUTE_WORKFLOW].limit == 10


@ledger("M-029", "M-027", "M-030", "M-031", "M-059", "C-46", "C-47")
async def test_sockets_receive_a_session_from_its_first_event(make: Make):
    app = make()
    async with served(app) as url, httpx2.AsyncClient(base_url=url, timeout=30) as client:
        session_id = (await start(client))["session_id"]
        await ended(client, session_id)
        address = f"{url.replace('http', 'ws', 1)}/ws/{session_id}"
        async with connect(address) as one, connect(address) as other:
            entries = [await frames(one), await frames(other)]
            await one.send("hello")
            await one.send("ping")
            assert await one.recv() == "pong"
    assert entries[0] == entries[1]
    assert {frame["type"] for frame in entries[0]} == {"progress", "phase_complete", "final_result"}
    assert all(frame["session_id"] == session_id for frame in entries[0])
    assert entries[0][-1]["results"]["status"] == "success"
    values = [frame["value"] for frame in entries[0] if frame["type"] == "progress"]
    assert values == sorted(values)
    assert values[-1] == 100


async def frames(socket: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(30):
        while not found or found[-1]["type"] != "final_result":
            found.append(json.loads(await socket.recv()))
    return found


async def test_a_socket_of_an_unknown_session_gets_an_error_and_is_closed(make: Make):
    async with served(make()) as url, connect(f"{url.replace('http', 'ws', 1)}/ws/{uuid.uuid4()}") as socket:
        frame = json.loads(await socket.recv())
        assert (frame["type"], frame["message"]) == ("error", f"Unknown session: {frame['session_id']}")
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4404


REPORTS = """
from fastapi import APIRouter, HTTPException

router = APIRouter(prefix="/reports", tags=["reports"])


@router.get("/{number}")
async def report(number: int) -> dict[str, int]:
    if number > 9:
        raise HTTPException(status_code=409 if number > 99 else 404, detail=f"Unknown report: {number}")
    return {"number": number}
"""


@ledger("M-008", "M-045")
async def test_a_router_in_a_file_of_its_own_is_served_as_it_is_written(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "reports.py").write_text(REPORTS)
    monkeypatch.setattr(endpoints, "__path__", [*endpoints.__path__, str(tmp_path)])
    app = make()
    app.include_router(next(router for router in endpoints.routers() if router.prefix == "/reports"))
    async with over(app) as client:
        answers = [await client.get(f"/reports/{number}") for number in ("5", "50", "500", "x")]
        elsewhere = await client.get("/reports")
    assert [answer.status_code for answer in answers] == [200, 404, 409, 422]
    assert answers[0].json() == {"number": 5}
    assert [answer.json() for answer in answers[1:3]] == [{"detail": f"Unknown report: {n}"} for n in (50, 500)]
    assert elsewhere.json()["detail"] == "There is nothing at this path"


async def test_requirements_count_once_towards_the_largest_input(make: Make):
    async with over(make()) as client:
        accepted = await start(client, workflow_type="api_development", requirements="r " * 2_000_000)
        assert (await ended(client, accepted["session_id"]))["status"] == "completed"
        body = {"requirements": "r " * 2_100_000, "workflow_type": "api_development"}
        refused = await client.post("/execute-workflow", json=body)
    assert refused.status_code == 413
