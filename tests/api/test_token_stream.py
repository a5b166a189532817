"""The text of running agents over real streams: in one process, over Redis, and to readers who come and go."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI
from pydantic import SecretStr

from api.app import create_app
from orchestrator.domain.access import Scope
from orchestrator.domain.agents import Agent
from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.limits import Tier
from orchestrator.domain.plans import Approval
from orchestrator.services.access.authentication import ADMIN as BOOTSTRAP
from orchestrator.services.access.keys import IssuedKey, KeyRequest
from orchestrator.services.jobs.stream import JobWatcher
from orchestrator.testing import Engine, eventually, running_engine
from tests.api.conftest import ADMIN, Fixed, served
from tests.api.test_events import SSE, Frame, frames, stream
from tests.api.test_jobs import ended, start, until
from tests.catalogue import AnyInput, step, workflow
from tests.fakes.openai_server import Answer, Failure, OpenAIServer
from tests.ledger import ledger
from tests.redis_server import RedisServer
from tests.unit.test_bus import tuned

TEXT = "A line of the answer, with “quotes” and a \\.\n" * 40
BODY = {"summary": "s", "output": TEXT}
WRITER = Agent(
    id="t_writer",
    name="t_writer",
    squad="testing",
    description="Writes.",
    capabilities=("testing",),
    instructions="You write.",
    input_model=AnyInput,
    source="tests",
)
# The call begins once the test says so: what was written before a reader came is not sent again.
WRITTEN = workflow("t_written", step("a", "t_writer", approval=Approval()))
WRITING = Plugin(name="writing", agents=(WRITER,), workflows=(WRITTEN,))


@asynccontextmanager
async def writing(
    temporal_address: str, folder: Path, plugins: list[Plugin], *script: Answer | Failure, **settings: Any
) -> AsyncIterator[Engine]:
    """An engine whose prompted agents ask a model that answers by this script."""
    async with OpenAIServer(*script) as model:
        given = {"llm_base_url": model.url, "llm_api_key": SecretStr("key"), **settings}
        async with running_engine(temporal_address, folder, [*plugins, WRITING], **given) as engine:
            await eventually(engine.services.readiness.checks, lambda checks: all(check.ok for check in checks))
            yield engine


@asynccontextmanager
async def connected(engine: Engine) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(Fixed(engine.services))
    async with served(app) as url, httpx2.AsyncClient(base_url=url, headers=ADMIN, timeout=30) as client:
        yield client


async def token_frames(client: httpx2.AsyncClient, job_id: str, begin: Callable[[], Any], **query: Any) -> list[Frame]:
    """Every frame of a stream; `begin` is called once it waits for the call to begin."""
    seen: list[Frame] = []
    async with client.stream("GET", f"/v1/jobs/{job_id}/events", headers=SSE, params=query) as answer:
        async for frame in frames(answer):
            seen.append(frame)
            if frame.data.get("name") == "step.waiting":
                await begin()
    return seen


def approving(client: httpx2.AsyncClient, job_id: str) -> Callable[[], Any]:
    async def approve() -> None:
        assert (await client.post(f"/v1/jobs/{job_id}/approve")).is_success

    return approve


def text_of(seen: list[Frame]) -> str:
    """What a reader has in the end who drops everything at a reset."""
    text = ""
    for frame in seen:
        if frame.data.get("name") == "agent.reset":
            text = ""
        elif frame.data.get("name") == "agent.delta":
            text += frame.data["data"]["text"]
    return text


def deltas_of(seen: list[Frame]) -> list[Frame]:
    return [frame for frame in seen if frame.data.get("name") in {"agent.delta", "agent.reset"}]


@ledger("D-062")
async def test_the_text_of_a_running_agent_is_streamed_and_a_retry_resets_it(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]
):
    script = (Answer(BODY, pieces=6, then="break"), Answer(BODY, pieces=30))
    async with (
        writing(temporal_address, tmp_path, orchestrator_plugins, *script) as engine,
        connected(engine) as client,
    ):
        job_id = (await engine.start("t_written", {})).job_id
        seen = await token_frames(client, job_id, approving(client, job_id))
        page = (await client.get(f"/v1/jobs/{job_id}/events", params={"limit": 1000})).json()["events"]
    pieces = deltas_of(seen)
    assert text_of(seen) == TEXT
    assert {frame.event for frame in pieces} == {"agent_event"}
    assert {frame.id for frame in pieces} == {None}
    assert set(pieces[0].data) == {"type", "name", "job_id", "status", "current_step", "timestamp", "data"}
    assert (pieces[0].data["type"], pieces[0].data["status"], pieces[0].data["current_step"]) == (
        "agent_event",
        "running",
        "a",
    )
    assert set(pieces[0].data["data"]) == {"step", "key", "agent", "call", "attempt", "index", "text"}
    second = [frame for frame in pieces if frame.data["data"]["attempt"] == 2]
    assert [frame.data["data"]["index"] for frame in second] == list(range(len(second)))
    assert second[0].data["name"] == "agent.reset"
    assert {frame.data["name"] for frame in second[1:]} == {"agent.delta"}
    assert seen[-1].event == "job_completed"
    # The log has no text: pages and cursors are of events alone.
    assert [frame.data for frame in seen[1:] if frame not in pieces] == page


async def test_a_stream_can_do_without_text(temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]):
    async with (
        writing(temporal_address, tmp_path, orchestrator_plugins, Answer(BODY)) as engine,
        connected(engine) as client,
    ):
        job_id = (await engine.start("t_written", {})).job_id
        seen = await token_frames(client, job_id, approving(client, job_id), deltas="false")
        assert seen[-1].event == "job_completed"
        assert deltas_of(seen) == []
        refused = await client.get(f"/v1/jobs/{job_id}/events", params={"deltas": "maybe"})
        assert refused.status_code == 400


async def test_without_a_model_the_draft_is_streamed(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]
):
    async with (
        running_engine(temporal_address, tmp_path, [*orchestrator_plugins, WRITING]) as engine,
        connected(engine) as client,
    ):
        job_id = (await engine.start("t_written", {"context": "An online book store"})).job_id
        seen = await token_frames(client, job_id, approving(client, job_id))
    assert "offline draft" in text_of(seen).lower()


async def test_text_crosses_processes_over_redis(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin], redis_url: str
):
    shared: dict[str, Any] = {"redis_url": SecretStr(redis_url), "task_queue": "tokens-over-redis"}
    plugins = [*orchestrator_plugins, WRITING]
    async with (
        writing(temporal_address, tmp_path, orchestrator_plugins, Answer(BODY, pieces=20), **shared) as worker,
        running_engine(temporal_address, tmp_path, plugins, worker=False, **shared) as api,
        connected(api) as client,
    ):
        job_id = (await worker.start("t_written", {})).job_id
        approve = approving(client, job_id)

        async def once_heard() -> None:
            await tuned(redis_url, {job_id: 1})
            await approve()

        seen = await token_frames(client, job_id, once_heard)
    assert text_of(seen) == TEXT
    assert seen[-1].event == "job_completed"


async def test_without_redis_jobs_and_streams_go_on_with_no_text(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin], redis_server: RedisServer
):
    url = SecretStr(redis_server.ready())
    async with (
        writing(temporal_address, tmp_path, orchestrator_plugins, Answer(BODY), redis_url=url) as engine,
        connected(engine) as client,
    ):
        job_id = (await engine.start("t_written", {})).job_id
        approve = approving(client, job_id)

        async def after_a_crash() -> None:
            redis_server.kill()
            await approve()

        seen = await token_frames(client, job_id, after_a_crash)
    assert deltas_of(seen) == []
    assert seen[-1].event == "job_completed"
    assert seen[-1].data["data"]["output"]["status"] == "success"


async def _key(running: Engine, **more: Any) -> IssuedKey:
    scopes = frozenset({Scope.JOBS_READ, Scope.WORKFLOWS_RUN, Scope.JOBS_CANCEL})
    request = KeyRequest(name="streaming", scopes=scopes, tier=Tier.ENTERPRISE, **more)
    return await running.services.keys.issue(BOOTSTRAP, request)


@pytest.fixture
def watched(running: Engine, app_with: Callable[..., FastAPI]) -> FastAPI:
    """An application that looks often whether its readers still may."""
    services = running.services
    return app_with(
        watcher=JobWatcher(services.follower, running.parts.backend.bus, services.access, recheck_seconds=0.02)
    )


async def _ended_by(watched: FastAPI, issued: IssuedKey, end: Callable[[], Any]) -> list[Frame]:
    """The frames of a stream of that key when `end` is called in its middle."""
    headers = {"Authorization": f"Bearer {issued.token}"}
    async with served(watched) as url, httpx2.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
        job_id = await start(client, "t_approval")
        return await token_frames(client, job_id, end)


async def test_a_key_revoked_in_the_middle_ends_its_stream(running: Engine, watched: FastAPI):
    issued = await _key(running)

    async def revoke() -> None:
        await running.services.keys.revoke(issued.key.id)

    seen = await _ended_by(watched, issued, revoke)
    assert (seen[0].event, seen[-1].event, seen[-1].id) == ("snapshot", "stream_error", None)
    assert seen[-1].data["error"]["code"] == "authentication_failed"
    assert seen[-1].data["error"]["message"] == "The API key is no longer valid"
    assert "job_completed" not in {frame.event for frame in seen}


async def test_a_key_that_expires_in_the_middle_ends_its_stream(running: Engine, watched: FastAPI):
    issued = await _key(running, expires_at=datetime.now(UTC) + timedelta(seconds=4))
    seen = await _ended_by(watched, issued, lambda: asyncio.sleep(0))
    assert seen[-1].event == "stream_error"
    assert seen[-1].data["error"]["code"] == "authentication_failed"


READERS, STEPS = 100, 4
GATES = Plugin(
    name="gates",
    workflows=(
        workflow(
            "t_gates",
            *(step(f"s{n}", "t_echo", needs=(f"s{n - 1}",) if n else (), approval=Approval()) for n in range(STEPS)),
        ),
    ),
)


@pytest_asyncio.fixture(loop_scope="session")
async def gated(
    temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]
) -> AsyncIterator[Callable[[], Any]]:
    """A worker, and API processes' parts over the same engine, one set per call."""
    plugins = [*orchestrator_plugins, GATES]
    shared: dict[str, Any] = {"task_queue": "readers-that-come-back"}
    async with running_engine(temporal_address, tmp_path, plugins, **shared) as engine:
        await eventually(engine.services.readiness.checks, lambda checks: all(check.ok for check in checks))
        yield lambda: running_engine(temporal_address, tmp_path, plugins, worker=False, **shared)


class Comeback:
    """A reader that drops its connection after a few events and goes on at the last one that it has."""

    def __init__(self, seed: int) -> None:
        self.ids: list[str] = []
        self.done = False
        self._chance = random.Random(seed)

    async def read(self, place: list[str], job_id: str) -> None:
        async with httpx2.AsyncClient(headers={**ADMIN, **SSE}, timeout=30) as client:
            while not self.done:
                await self._once(client, f"{place[0]}/v1/jobs/{job_id}/events")

    async def _once(self, client: httpx2.AsyncClient, url: str) -> None:
        most = self._chance.randint(2, 8)
        headers = {"Last-Event-ID": self.ids[-1]} if self.ids else {}
        try:
            async with client.stream("GET", url, headers=headers) as answer:
                async for frame in frames(answer):
                    if frame.id is None:
                        continue
                    self.ids.append(frame.id)
                    self.done = frame.data["type"] in {"job_completed", "job_failed"}
                    most -= 1
                    if not most:
                        return
        except httpx2.TransportError:  # the server is being restarted
            await asyncio.sleep(0.05)


async def test_readers_that_drop_and_come_back_over_restarts_miss_nothing_and_get_nothing_twice(
    gated: Callable[[], Any],
):
    job_id, place = "", [""]
    readers = [Comeback(seed) for seed in range(READERS)]
    async with asyncio.TaskGroup() as group:
        for gates in (1, 1, STEPS - 2):  # two restarts, each in the middle of the job
            async with gated() as engine, connected(engine) as client:
                place[0] = str(client.base_url)
                if not job_id:
                    job_id = (await engine.start("t_gates", {})).job_id
                    for reader in readers:
                        group.create_task(reader.read(place, job_id))
                for _ in range(gates):
                    await until(client, job_id, lambda job: (job["reason"] or {}).get("code") == "waiting_for_approval")
                    before = [len(reader.ids) for reader in readers]
                    await client.post(f"/v1/jobs/{job_id}/approve")
                    await eventually(
                        lambda before=before: asyncio.sleep(
                            0,
                            [len(one.ids) for one, count in zip(readers, before, strict=True) if len(one.ids) > count],
                        ),
                        lambda moved: len(moved) >= READERS // 2,
                    )
                if gates > 1:
                    await ended(client, job_id)
                    async with asyncio.timeout(30):
                        await eventually(lambda: asyncio.sleep(0, all(reader.done for reader in readers)), bool)
                    whole = [frame.id for frame in (await stream(client, job_id))[1:]]
    assert len(whole) > 4 * STEPS
    assert [reader.ids for reader in readers if reader.ids != whole] == []
