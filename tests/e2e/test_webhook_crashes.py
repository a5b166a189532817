"""A delivery outlives every process that has a part in it."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.testing import eventually
from tests.e2e.processes import installation
from tests.fakes.webhook_receiver import Answer, receiving
from tests.ledger import ledger


@ledger("D-103")
async def test_a_delivery_goes_on_after_all_processes_were_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_WEBHOOK_ALLOW_PRIVATE", "true")
    monkeypatch.setenv("ORCHESTRATOR_WEBHOOK_RETRY_SCHEDULE", "0,5")
    async with receiving(Answer(status=500), Answer()) as receiver, installation(tmp_path) as running:

        async def deliveries() -> list[dict[str, Any]]:
            answer = await running.client.get(f"/v1/jobs/{job_id}/deliveries")
            assert answer.status_code == 200, answer.text
            return answer.json()["deliveries"]

        body = {"input": {"seconds": 0.01}, "async": True, "webhook_url": receiver.url}
        answer = await running.client.post("/v1/workflows/e_one/run", json=body)
        assert answer.status_code == 202, answer.text
        job_id = answer.json()["job_id"]
        await eventually(deliveries, lambda rows: bool(rows) and len(rows[0]["attempts"]) == 1)
        for process in (running.worker, running.api, running.temporal):
            await process.kill()
        assert len(receiver.requests) == 1
        await (await running.temporal.start()).ready()
        await (await running.worker.start()).ready()
        await running.api.start()
        await running.up("/readyz")
        (row,) = await eventually(deliveries, lambda rows: rows[0]["state"] == "delivered", 60)
        assert [(one["number"], one["status"]) for one in row["attempts"]] == [(1, 500), (2, 200)]
        assert {request.headers["webhook-id"] for request in receiver.requests} == {row["message_id"]}
