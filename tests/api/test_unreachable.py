"""Temporal was never reached: every route that needs it says 503, and nothing is kept that was refused."""

from pathlib import Path
from typing import Any

import httpx2

from api.app import create_app
from orchestrator.composition.lazy_services import LazyServices
from orchestrator.composition.process import build_parts
from orchestrator.engine.connect import connect
from orchestrator.engine.guarded_service import GuardedService
from orchestrator.plugins import BUILT_IN, build_catalogue
from orchestrator.settings import Settings
from orchestrator.testing import ADMIN_KEY, eventually


async def test_a_temporal_that_was_never_there_is_a_503_with_retry_after(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path, admin_api_key=ADMIN_KEY)
    client = await connect({"target_host": "127.0.0.1:1"}, lazy=True)
    parts = build_parts(settings, build_catalogue([BUILT_IN]), client)
    await parts.backend.database.migrate()
    transport = httpx2.ASGITransport(app=create_app(LazyServices.of(parts)))
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://test", headers={"Authorization": f"Bearer {ADMIN_KEY}"}
    ) as http:
        body = {"input": {"task_type": "prd", "context": "x"}, "async": True}
        refused = await http.post("/v1/agents/product_manager/execute", json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "service_unavailable")
        assert int(refused.headers["Retry-After"]) >= 1
        assert (await http.get("/readyz")).status_code == 503
        assert (await http.get("/v1/agents")).json()["available"] == 0
        schedule = {"agent_id": "product_manager", "input": body["input"], "spec": {"cron": ["@daily"]}}
        assert (await http.post("/v1/schedules", json=schedule)).status_code == 503
        assert (await http.get("/v1/schedules")).json()["total"] == 0, "what was refused leaves no row"
        (listed,) = (await http.get("/v1/jobs")).json()["jobs"]
        assert "has not answered the start" in listed["reason"]["message"]
    row = (await parts.backend.jobs.unfinished(before=parts.services.reader.clock()))[0]
    assert row.start_state == "doubtful"
    await parts.aclose()


async def test_while_temporal_is_away_no_route_asks_it_again(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path, admin_api_key=ADMIN_KEY)
    client = await connect({"target_host": "127.0.0.1:1"}, lazy=True)
    parts = build_parts(settings, build_catalogue([BUILT_IN]), client)
    await parts.backend.database.migrate()
    guarded = client.service_client
    assert isinstance(guarded, GuardedService)
    asked: list[str] = []
    make = guarded._service._rpc_call

    async def counted(rpc: str, *given: Any, **named: Any) -> Any:
        asked.append(rpc)
        return await make(rpc, *given, **named)

    guarded._service._rpc_call = counted  # type: ignore[method-assign]
    transport = httpx2.ASGITransport(app=create_app(LazyServices.of(parts)))
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://test", headers={"Authorization": f"Bearer {ADMIN_KEY}"}
    ) as http:
        assert (await http.get("/v1/jobs/wf_job_any")).status_code == 503

        async def is_away() -> bool:
            return guarded.circuit.away

        await eventually(is_away, bool)
        asked.clear()
        start = {"input": {"task_type": "prd", "context": "x"}, "async": True}
        answers = [
            await http.post("/v1/agents/product_manager/execute", json=start),
            await http.get("/v1/jobs/wf_job_any"),
            await http.get("/v1/jobs/wf_job_any/output"),
            *[await http.post(f"/v1/jobs/wf_job_any/{verb}", json={}) for verb in ("cancel", "pause", "resume")],
            *[await http.post(f"/v1/jobs/wf_job_any/{verb}", json={"step": "a"}) for verb in ("approve", "reject")],
            await http.post("/chat/v2/chat", json={"message": "hello"}),
        ]
        assert [answer.status_code for answer in answers] == [503] * len(answers), [a.text for a in answers]
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers)
        assert (await http.get("/v1/jobs")).json()["total"] == 0, "what was not asked of Temporal leaves no row"
    assert set(asked) <= {"get_cluster_info"}
    await parts.aclose()
