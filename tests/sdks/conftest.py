"""A real server for the libraries, accounts on it, and the runner of each language."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from api.app import create_app
from orchestrator.domain.access import Scope
from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.limits import SurfaceLimit, Tier, Window
from orchestrator.plugins import BUILT_IN
from orchestrator.services.access.authentication import ADMIN
from orchestrator.services.access.keys import KeyRequest
from orchestrator.testing import Engine, eventually, running_engine
from tests.api.conftest import Fixed, served
from tests.catalogue import TEST_PLUGIN
from tests.sdks.runners import LANGUAGES, Runner, need


@pytest.fixture(scope="session")
def orchestrator_plugins() -> list[Plugin]:
    return [BUILT_IN, TEST_PLUGIN]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def behind(
    temporal_address: str, tmp_path_factory: pytest.TempPathFactory, orchestrator_plugins: list[Plugin]
) -> AsyncIterator[Engine]:
    """The engine behind the server."""
    wide = dict.fromkeys(SurfaceLimit, Window(limit=10**6, seconds=60))
    settings = {"surface_limits": wide, "webhook_allow_private": True}
    folder = tmp_path_factory.mktemp("sdks")
    async with running_engine(temporal_address, folder, orchestrator_plugins, **settings) as engine:
        await eventually(engine.services.readiness.checks, lambda checks: all(check.ok for check in checks))
        yield engine


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server(behind: Engine) -> AsyncIterator[str]:
    """The URL of the server."""
    async with served(create_app(Fixed(behind.services))) as url:
        yield url


@pytest_asyncio.fixture(loop_scope="session")
async def key(behind: Engine) -> str:
    """The API key of an account that is new: every scope but `admin:*`, and no limits."""
    request = KeyRequest("library", frozenset(Scope) - {Scope.ADMIN}, Tier.ENTERPRISE)
    return (await behind.services.keys.issue(ADMIN, request)).token


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def runners(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Callable[[str], Runner]]:
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
