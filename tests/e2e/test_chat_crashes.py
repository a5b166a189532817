"""A chat message survives the death of the API that waits for it and of the worker that answers it: once, not twice."""

import asyncio
import uuid
from pathlib import Path

import httpx2
import pytest

from orchestrator.testing import eventually
from tests.e2e.processes import Installation, installation
from tests.fakes.openai_server import Answer, OpenAIServer
from tests.ledger import ledger

HANGS = Answer({"summary": "s", "output": "never"}, then="hang")
BODY = {"message": "Explain quantum computing", "session_id": "user-123-session-456", "optimization_mode": "lite"}


async def ask(running: Installation, request_id: str) -> httpx2.Response | None:
    try:
        return await running.client.post("/chat/v2/chat", json=BODY, headers={"X-Request-ID": request_id}, timeout=120)
    except httpx2.TransportError:
        return None


async def asked(model: OpenAIServer) -> int:
    return len(model.received)


@ledger("A-037")
async def test_a_message_is_answered_once_whatever_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with OpenAIServer(HANGS, Answer({"summary": "s", "output": "At last."})) as model:
        monkeypatch.setenv("ORCHESTRATOR_LLM_BASE_URL", model.url)
        monkeypatch.setenv("ORCHESTRATOR_LLM_API_KEY", "key")
        async with installation(tmp_path) as running:
            mine = str(uuid.uuid4())
            first = asyncio.create_task(ask(running, mine))
            await eventually(lambda: asked(model), lambda count: count == 1, 60)
            await running.api.kill()
            assert await first is None
            await running.api.start()
            await running.up()
            again = asyncio.create_task(ask(running, mine))
            await running.worker.kill()
            await (await running.worker.start()).ready()
            answer = await again
            assert answer is not None
            assert answer.status_code == 200, answer.text
            data = answer.json()["data"]
            jobs = (await running.client.get("/v1/jobs")).json()["jobs"]
            steps = (await running.job(data["metadata"]["job_id"]))["steps"]
            once_more = await ask(running, mine)
    assert data["response"] == "At last."
    assert [job["job_id"] for job in jobs] == [data["metadata"]["job_id"]]
    assert [len(step["attempts"]) for step in steps] == [2]
    assert once_more is not None
    assert once_more.json()["data"] == data
    assert len(model.received) == 2
