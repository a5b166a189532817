"""What models and authors write reaches the reader of every surface sound and bounded."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from api.app import create_app
from orchestrator.domain.catalogue import Plugin
from orchestrator.plugins import BUILT_IN
from orchestrator.testing import eventually, running_engine
from tests.api.conftest import ADMIN, Fixed, over
from tests.catalogue import step, workflow
from tests.fakes.openai_server import Answer, Failure, OpenAIServer, Page
from tests.workflows.test_author_text import LOUD_PLUGIN

TEXT = "half \ud83d, whole \ud83d\ude00, n\0ul"
SOUND = "half \ufffd, whole 😀, nul"
FILE = {"path": "../Bericht für Q3\0.md", "media_type": "text/markdown", "content": TEXT}
ANSWER = Answer({"summary": TEXT, "output": TEXT, "deliverables": [FILE]}, pieces=40)
DECISION = Answer(
    {
        "summary": TEXT,
        "output": TEXT,
        "decision": "GO_ON",
        "rationale": TEXT,
        "implementation_plan": [{"phase": 1, "action": TEXT, "timeline": TEXT}],
        "success_metrics": [TEXT],
        "risk_mitigation": [TEXT],
    }
)
REFUSAL = Failure(400, {"message": "x" * 1_000_000})
ONE_STEP = Plugin(name="one", workflows=(workflow("t_one_writer", step("a", "technical_writer")),))
Client = httpx2.AsyncClient


@asynccontextmanager
async def asking(
    address: str, folder: Path, *script: Answer | Failure | Page, model: bool = True
) -> AsyncIterator[tuple[Client, OpenAIServer]]:
    """A client of an application whose prompted agents ask a model that answers by this script."""
    async with OpenAIServer(*script) as server:
        given: dict[str, Any] = {"llm_base_url": server.url, "llm_api_key": SecretStr("key")} if model else {}
        plugins = [BUILT_IN, ONE_STEP, LOUD_PLUGIN]
        async with (
            running_engine(address, folder, plugins, **given) as engine,
            over(create_app(Fixed(engine.services)), **ADMIN) as client,
        ):
            yield client, server


async def native(client: Client) -> Any:
    """`/v1`: an agent is run, its job, events and output are read."""
    started = await client.post("/v1/agents/technical_writer/execute", json={"input": {"subject": "x"}, "async": True})
    assert started.status_code == 202, started.text
    return await job_of(client, started.json()["job_id"])


async def job_of(client: Client, job_id: str) -> Any:
    async def look() -> dict[str, Any]:
        answer = await client.get(f"/v1/jobs/{job_id}", params={"wait": 1})
        assert answer.status_code == 200, answer.text
        seen: dict[str, Any] = answer.json()
        return seen

    job = await eventually(look, lambda job: job["status"] not in {"queued", "running"})
    events = await client.get(f"/v1/jobs/{job_id}/events")
    assert events.status_code == 200
    return [job, events.json()]


async def orchestrator(client: Client) -> Any:
    """M: a workflow is started, its session is read."""
    body = {"requirements": "x", "workflow_type": "t_one_writer"}
    started = await client.post("/api/v1/execute-workflow", json=body)
    assert started.status_code == 200, started.text
    session = started.json()["session_id"]

    async def look() -> dict[str, Any]:
        answer = await client.get(f"/workflow-status/{session}")
        assert answer.status_code == 200, answer.text
        seen: dict[str, Any] = answer.json()
        return seen

    return await eventually(look, lambda seen: seen["status"] in {"completed", "failed"})


async def chat(client: Client) -> Any:
    """A: one message of a group of one agent."""
    body = {"message": "x", "session_id": uuid.uuid4().hex, "optimization_mode": "lite"}
    return (await client.post("/chat/v2/chat", json=body)).json()


async def decision(client: Client) -> Any:
    """S: a strategic decision."""
    return (await client.post("/api/v1/orchestration/decisions", json={"context": {"goal": "x"}})).json()


async def execution(client: Client) -> Any:
    """O: an execution of a user's own agent."""
    made = await client.post("/api/agents", json={"name": "Scout", "framework": "crewai"})
    assert made.status_code == 201, made.text
    started = await client.post("/api/executions", json={"agentId": made.json()["id"]})

    async def look() -> dict[str, Any]:
        answer = await client.get(f"/api/executions/{started.json()['executionId']}")
        assert answer.status_code == 200, answer.text
        seen: dict[str, Any] = answer.json()
        return seen

    return await eventually(look, lambda seen: seen["status"] not in ("PENDING", "RUNNING"))


Surface = Callable[[Client], Awaitable[Any]]
SURFACES = [native, orchestrator, chat, decision, execution]


def texts(report: Any) -> list[str]:
    match report:
        case str():
            return [report]
        case dict():
            return [text for item in report.items() for text in texts(list(item))]
        case list():
            return [text for item in report for text in texts(item)]
        case _:
            return []


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.__name__)
async def test_an_answer_is_shown_sound_after_one_call(temporal_address: str, tmp_path: Path, surface: Surface) -> None:
    script = DECISION if surface is decision else ANSWER
    async with asking(temporal_address, tmp_path, script) as (client, server):
        names = texts(await surface(client))
    assert len(server.received) == 1
    assert any(SOUND in text for text in names)
    assert not any("\0" in text for text in names)
    if surface in (native, orchestrator, execution):
        assert any("Bericht für Q3.md" in text for text in names)


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.__name__)
async def test_an_error_of_a_megabyte_is_shown_cut(temporal_address: str, tmp_path: Path, surface: Surface) -> None:
    async with asking(temporal_address, tmp_path, REFUSAL) as (client, server):
        names = texts(await surface(client))
    assert len(server.received) == 1
    assert max(map(len, names)) <= 2000
    assert sum(map(len, names)) < 20_000


@pytest.mark.parametrize("surface", [native, orchestrator, execution], ids=lambda surface: surface.__name__)
async def test_an_empty_answer_is_reported_in_our_words_after_two_requests(
    temporal_address: str, tmp_path: Path, surface: Surface
) -> None:
    async with asking(temporal_address, tmp_path, Answer("", as_text=True)) as (client, server):
        names = texts(await surface(client))
    assert len(server.received) == 2
    assert any("returned an empty answer" in text for text in names)
    assert not any("maximum" in text for text in names)


async def test_an_authors_error_of_five_megabytes_is_shown_cut(temporal_address: str, tmp_path: Path) -> None:
    async with asking(temporal_address, tmp_path, ANSWER, model=False) as (client, _):
        run = "/v1/workflows/t_loud_code/run"
        started = await client.post(run, json={"input": {"how": "foreign"}, "async": True})
        detail = await job_of(client, started.json()["job_id"])
    assert detail[0]["error"]["message"].startswith("Loud: xxx")
    assert max(map(len, texts(detail))) <= 2000
