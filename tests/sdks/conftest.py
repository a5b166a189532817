"""A real server for the libraries, accounts on it, and the runner of each language."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio
from pydantic import SecretStr

from api.app import create_app
from orchestrator.domain.access import Scope
from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.limits import SurfaceLimit, Tier, Window
from orchestrator.plugins import BUILT_IN
from orchestrator.services.access.authentication import ADMIN
from orchestrator.services.access.keys import KeyRequest
from orchestrator.testing import ADMIN_KEY, Engine, eventually, running_engine
from tests.api.conftest import Fixed, served
from tests.catalogue import TEST_PLUGIN
from tests.e2e.processes import free_port
from tests.sdks import node_packages
from tests.sdks.runners import LANGUAGES, ROOT, Runner, need

PASSWORD = "correct horse battery"


@pytest.fixture(scope="session")
def orchestrator_plugins() -> list[Plugin]:
    return [BUILT_IN, TEST_PLUGIN]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def behind(
    temporal_address: str, tmp_path_factory: pytest.TempPathFactory, orchestrator_plugins: list[Plugin]
) -> AsyncIterator[Engine]:
    """The engine behind the server."""
    wide = dict.fromkeys(SurfaceLimit, Window(limit=10**6, seconds=60))
    user = {"admin_username": "admin", "admin_password": SecretStr(PASSWORD)}
    settings = {"surface_limits": wide, "webhook_allow_private": True, **user}
    folder = tmp_path_factory.mktemp("sdks")
    async with running_engine(temporal_address, folder, orchestrator_plugins, **settings) as engine:
        await eventually(engine.services.readiness.checks, lambda checks: all(check.ok for check in checks))
        yield engine


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server(behind: Engine) -> AsyncIterator[str]:
    """The URL of the server."""
    async with served(create_app(Fixed(behind.services))) as url:
        yield url


class RestartableServer:
    """The API as a process of its own, over the same engine: killed and started again at the same place."""

    def __init__(self, engine: Engine, temporal_address: str) -> None:
        settings = engine.parts.settings
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._arguments = ["api", "--port", str(port), "--data-dir", str(settings.data_dir)]
        self._log = settings.data_dir / "api.log"
        self._environment = {
            "TEMPORAL_ADDRESS": temporal_address,
            "ORCHESTRATOR_TASK_QUEUE": settings.task_queue,
            "ORCHESTRATOR_ADMIN_API_KEY": ADMIN_KEY,
            "ORCHESTRATOR_PLUGINS": "tests.catalogue",
            "PYTHONPATH": str(ROOT),
        }
        self._starter: asyncio.subprocess.Process | None = None
        self._process = 0

    async def __aenter__(self) -> "RestartableServer":
        with self._log.open("ab") as log:
            self._starter = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.sdks.api_process"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, **self._environment},
            )
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._starter is not None
        assert self._starter.stdin is not None
        os.kill(self._process, signal.SIGKILL)
        self._starter.stdin.close()
        await self._starter.wait()

    async def start(self) -> None:
        starter = self._starter
        assert starter is not None
        assert starter.stdin is not None
        assert starter.stdout is not None
        starter.stdin.write(json.dumps(self._arguments).encode() + b"\n")
        self._process = int(await starter.stdout.readline())
        async with httpx2.AsyncClient(base_url=self.url) as http:
            await eventually(partial(_is_ready, http), bool, 60)

    async def restart(self) -> None:
        os.kill(self._process, signal.SIGKILL)
        await self.start()


async def _is_ready(http: httpx2.AsyncClient) -> bool:
    try:
        return (await http.get("/readyz")).status_code == 200
    except httpx2.TransportError:
        return False


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def restartable(
    behind: Engine, temporal_address: str
) -> AsyncIterator[Callable[[], Awaitable[RestartableServer]]]:
    """A server that can be killed, started when it is first needed."""
    async with AsyncExitStack() as stack:
        started: list[RestartableServer] = []

        async def server() -> RestartableServer:
            if not started:
                started.append(await stack.enter_async_context(RestartableServer(behind, temporal_address)))
            return started[0]

        yield server


@pytest.fixture(scope="session")
def new_key(behind: Engine) -> Callable[..., Awaitable[str]]:
    """Issues the API key of a new account: every scope but `admin:*` unless asked for, and no limits."""

    async def issue(*, admin: bool = False) -> str:
        scopes = frozenset({Scope.ADMIN}) if admin else frozenset(Scope) - {Scope.ADMIN}
        return (await behind.services.keys.issue(ADMIN, KeyRequest("library", scopes, Tier.ENTERPRISE))).token

    return issue


@pytest_asyncio.fixture(loop_scope="session")
async def key(new_key: Callable[..., Awaitable[str]]) -> str:
    """The API key of a new account."""
    return await new_key()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def runners(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Callable[[str], Awaitable[Runner]]]:
    """The runner of a language, started when it is first needed."""
    folder: Path = tmp_path_factory.mktemp("runners")
    started: dict[str, Runner] = {}

    async def runner(name: str) -> Runner:
        if name not in started:
            need(LANGUAGES[name].prepare())
            started[name] = await Runner(name, folder / f"{name}.log").start()
        return started[name]

    yield runner
    for each in started.values():
        await each.stop()


@pytest.fixture(scope="session")
def npm_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which the npm packages are installed as their users install them."""
    need(node_packages.prepare())
    return node_packages.install(tmp_path_factory.mktemp("npm"))
