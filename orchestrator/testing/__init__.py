"""pytest fixtures for authors of agents and workflows: the real engine on a real Temporal server.

Use with `pytest_plugins = ["orchestrator.testing"]` and override `orchestrator_plugins` to name your own plugin.
"""

import asyncio
import atexit
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import BaseModel, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from temporalio.client import WorkflowHistory

from orchestrator.composition.agent_runtime import runtime_of
from orchestrator.composition.process import Parts, build_parts, prepare
from orchestrator.domain import names
from orchestrator.domain.access import Principal, Scope
from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.commands import JobConfig
from orchestrator.domain.ids import JobKind
from orchestrator.domain.jobs import Job, ToolUseRecord
from orchestrator.domain.ports import ValueStore
from orchestrator.domain.questions import AnswerInput
from orchestrator.engine.connect import connect, connect_options
from orchestrator.engine.devserver import DevServer
from orchestrator.engine.server_binary import locate
from orchestrator.plugins import BUILT_IN, build_catalogue
from orchestrator.services.jobs.start import Started, StartRequest
from orchestrator.settings import Settings
from orchestrator.testing.model_server import ModelServer, ScriptedModels, import_client
from orchestrator.testing.replays import assert_replays
from orchestrator.testing.scripts import (
    Answerer,
    Entry,
    ModelRequest,
    Reply,
    Script,
    Scripts,
    calls,
    fails,
    hangs,
    tool,
)

__all__ = [
    "ADMIN_KEY",
    "TESTER",
    "Engine",
    "GivenSettings",
    "ModelRequest",
    "Reply",
    "assert_replays",
    "calls",
    "engine",
    "eventually",
    "fails",
    "hangs",
    "orchestrator_plugins",
    "pytest_configure",
    "pytest_runtest_makereport",
    "pytest_sessionfinish",
    "running_engine",
    "temporal_address",
    "temporal_settings",
    "tool",
]

TESTER = Principal(id="tester", scopes=frozenset({Scope.ADMIN}))
ADMIN_KEY = "dvr_sk_test_fixture"
_SESSION = pytest.StashKey[pytest.Session]()
_FAILED = pytest.StashKey[bool]()
_SECONDS_AFTER_THE_END = 10.0


class Engine:
    """A running engine (worker, index and Temporal) with short methods to start a job and wait for its end."""

    def __init__(self, parts: Parts, scripts: Scripts) -> None:
        self.parts = parts
        self.services = parts.services
        self.scripts = scripts
        self._job_ids: list[str] = []

    def script(self, name: str, entries: Sequence[Entry] | Answerer, *, unused: bool = False) -> Script:
        """Answer the model requests of an agent with these entries, in order, in the place of the offline drafter.

        `name` is the id of an agent, or of one call if several run in parallel: `step.agent`, `step[key].agent`. An
        entry is an answer (the agent's output model, or a dict of its own fields), `calls(…)`, `fails(…)`, `hangs()`,
        or a function of the `ModelRequest` that returns one of them. A function in the place of the list answers every
        request, as many as there are: for calls that run in parallel. Entries that no request uses fail the test at
        its end, unless `unused` allows them. Raises `ValueError` for an answer that does not fit the output model.
        """
        import_client()
        agent = self.parts.catalogue.agent(name.rpartition(".")[2])
        return self.scripts.add(name, agent, entries, unused=unused)

    def requests(self, name: str) -> list[ModelRequest]:
        """The requests that the script of that name has received, as the model saw them."""
        return self.scripts.requests(name)

    async def calls(self, tool: str) -> list[ToolUseRecord]:
        """The calls of a tool so far, in the jobs that this engine has started and in their children.

        A record has `arguments` (as text, such as `number: "7", amount: 5.0`), `effect_id`, `attempts`, `status`,
        `result` and `error`.
        """
        return [record for job_id in self._job_ids for record in await self._tool_calls(job_id) if record.tool == tool]

    async def _tool_calls(self, job_id: str) -> list[ToolUseRecord]:
        records: list[ToolUseRecord] = []
        for call in (await self.job(job_id)).calls:
            records += [*call.tool_calls, *(await self._tool_calls(call.child) if call.child else [])]
        return records

    async def start(self, target: str, input: dict[str, Any], **more: Any) -> Started:
        """Start an agent or a workflow of the catalogue. `config` is a `JobConfig`."""
        kind = JobKind.WORKFLOW if target in self.parts.catalogue.workflows else JobKind.AGENT
        config = more.pop("config", None) or JobConfig()
        request = StartRequest(kind=kind, target=target, input=input, config=config, **more)
        started = await self.services.starter.start(TESTER, request)
        self._job_ids.append(started.job_id)
        return started

    async def job(self, job_id: str) -> Job:
        """The present state of a job."""
        return await self.services.reader.get(TESTER, job_id)

    async def ended(self, job_id: str, seconds: float = 60) -> Job:
        """The job once it has ended. Fails the test if it does not end within `seconds`."""
        job = await self.services.follower.until_end(TESTER, job_id, seconds)
        assert job.state.terminal, f"{job_id} is still {job.state}: {job.reason}"
        return job

    async def signal(self, job_id: str, name: str, message: BaseModel) -> None:
        """Send a signal that a code-authored workflow handles."""
        await self.parts.backend.gateway.signal(job_id, name, message)

    async def cancel(self, job_id: str, reason: str = "") -> Job:
        """Cancel a job. It ends a moment later."""
        return (await self.services.controller.cancel(TESTER, job_id, reason)).job

    async def approve(self, job_id: str, step: str | None = None) -> Job:
        """Approve a waiting step. `step` is optional if only one waits."""
        return (await self.services.controller.approve(TESTER, job_id, step)).job

    async def answer(self, job_id: str, question: str, values: BaseModel | dict[str, Any], note: str = "") -> None:
        """Answer a question of a job. Raises `WorkflowUpdateFailedError` for an answer that is refused."""
        plain = values.model_dump(mode="json") if isinstance(values, BaseModel) else values
        answer = AnswerInput(step=question, values=plain, actor=TESTER.id, note=note)
        handle = self.parts.backend.client.get_workflow_handle(job_id)
        await handle.execute_update(names.UPDATE_ANSWER, answer)

    @property
    def values(self) -> ValueStore:
        """The store of values that are too large for a history, for `assert_replays`."""
        return self.parts.backend.values

    async def history(self, job_id: str) -> WorkflowHistory:
        """The history of a job, for a replay."""
        return await self.parts.backend.client.get_workflow_handle(job_id).fetch_history()

    async def run(self, target: str, input: dict[str, Any], **more: Any) -> Job:
        """Start a job and wait for its end."""
        return await self.ended((await self.start(target, input, **more)).job_id)

    async def eventually(self, job_id: str, holds: Callable[[Job], bool], seconds: float = 30) -> Job:
        """The job as soon as `holds` is true of it. Fails the test after `seconds`, or soon after the job has ended."""
        deadline, over = time.monotonic() + seconds, False
        while not holds(job := await self.job(job_id)):
            if job.state.terminal and not over:
                deadline, over = min(deadline, time.monotonic() + _SECONDS_AFTER_THE_END), True
            assert time.monotonic() < deadline, f"never became true; {_outcome(job)}; the last result: {job!r}"
            await asyncio.sleep(0.05)
        return job


def _outcome(job: Job) -> str:
    """What became of a job, before the length of all of it hides it."""
    why = f": {job.error.type}: {job.error.message}" if job.error else ""
    why = why or (f": {job.reason.code}: {job.reason.message}" if job.reason else "")
    return f"{job.id} is {job.state}{why}"


async def eventually(look: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool], seconds: float = 30) -> Any:
    """The result of `look` as soon as `holds` is true of it. Raises `AssertionError` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds(result := await look()):
        assert time.monotonic() < deadline, f"never became true; the last result: {result!r}"
        await asyncio.sleep(0.05)
    return result


class GivenSettings(Settings):
    """Settings from arguments alone: tests must not read model keys or a database from the environment."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only the constructor's arguments."""
        return (init_settings,)


@asynccontextmanager
async def running_engine(
    address: str, folder: Path, plugins: list[Plugin], *, worker: bool = True, **settings: Any
) -> AsyncIterator[Engine]:
    """An engine with a new task queue and a new index. Agents are drafted offline unless a model is configured."""
    values: dict[str, Any] = {
        "data_dir": folder,
        "task_queue": f"test-{uuid.uuid4().hex[:12]}",
        "admin_api_key": SecretStr(ADMIN_KEY),
        "worker_drain_seconds": 5.0,
    }
    configured = GivenSettings(**{**values, **settings})
    client = await connect(connect_options({}, address), lazy=False)
    parts = build_parts(configured, build_catalogue(plugins), client)
    await prepare(parts, reconcile=False)
    scripts = Scripts()
    server = ModelServer(scripts)
    if configured.model_providers().offline:
        bulkhead = parts.workers.bulkhead
        models = ScriptedModels(scripts, server, bulkhead)
        parts.workers.runtime = runtime_of(models, configured, bulkhead, parts.catalogue, parts.backend)
    try:
        if worker:
            async with parts.workers.for_jobs():
                yield Engine(parts, scripts)
        else:
            yield Engine(parts, scripts)
    finally:
        await parts.aclose()
        await server.aclose()
    scripts.check()


def pytest_configure(config: pytest.Config) -> None:
    """Make the test run exit with the exit code of pytest."""
    atexit.register(_leave, config)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Store whether the test has failed, for the end of its engine."""
    report = yield
    if report.when == "call":
        item.stash[_FAILED] = report.failed
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Store the session, which has the exit code."""
    session.config.stash[_SESSION] = session


def _leave(config: pytest.Config) -> None:
    """The Temporal SDK's threads can abort an interpreter that exits by itself (temporalio/sdk-python issue 300)."""
    session = config.stash.get(_SESSION, None)
    if session is not None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(session.exitstatus))


@pytest.fixture(scope="session")
def temporal_settings() -> dict[str, bool | int | float | str]:
    """Server settings on top of the product's own; override to change them."""
    return {}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def temporal_address(
    tmp_path_factory: pytest.TempPathFactory, temporal_settings: dict[str, bool | int | float | str]
) -> AsyncIterator[str]:
    """One real Temporal server for the whole test run, in memory."""
    binary = await locate(os.environ)
    folder = tmp_path_factory.mktemp("temporal")
    async with DevServer(binary, folder, port=0, in_memory=True, settings=temporal_settings) as server:
        yield server.address


@pytest.fixture(scope="session")
def orchestrator_plugins() -> list[Plugin]:
    """Plugins of the engine under test; override to add your own."""
    return [BUILT_IN]


@pytest_asyncio.fixture(loop_scope="session")
async def engine(
    request: pytest.FixtureRequest, temporal_address: str, tmp_path: Path, orchestrator_plugins: list[Plugin]
) -> AsyncIterator[Engine]:
    """A running engine for one test."""
    async with running_engine(temporal_address, tmp_path, orchestrator_plugins) as running:
        yield running
        if request.node.stash.get(_FAILED, False):
            running.scripts.leave_unchecked()
