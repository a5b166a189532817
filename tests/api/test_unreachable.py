"""Temporal was never reached: every route that needs it says 503, and nothing is kept that was refused."""

from pathlib import Path

import httpx2

from api.app import create_app
from orchestrator.bootstrap import Stack, assemble
from orchestrator.engine.connect import connect
from orchestrator.plugins import BUILT_IN, build_catalogue
from orchestrator.settings import Settings
from orchestrator.testing import ADMIN_KEY


async def test_a_temporal_that_was_never_there_is_a_503_with_retry_after(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path, admin_api_key=ADMIN_KEY)
    client = await connect({"target_host": "127.0.0.1:1"}, lazy=True)
    parts = assemble(settings, build_catalogue([BUILT_IN]), client)
    await parts.ground.database.migrate()
    transport = httpx2.ASGITransport(app=create_app(Stack.over(parts)))
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://test", headers={"Authorization": f"Bearer {ADMIN_KEY}"}
    ) as http:
        body = {"input": {"task_type": "prd", "context": "x"}, "async": True}
        refused = await http.post("/v1/agents/product_manager/execute", json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "service_unavailable")
        assert int(refused.headers["Retry-After"]) >= 1
        assert (await http.get("/readyz")).status_code == 503
        assert (await http.get("/v1/agents")).json()["available"] == 0
    row = (await parts.ground.jobs.unfinished(before=parts.services.reader._clock()))[0]
    assert row.start_state == "doubtful"
    await parts.aclose()
