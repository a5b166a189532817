"""One running engine for all API tests, and the ways to reach the application over it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import pytest
import pytest_asyncio
import uvicorn
from fastapi import FastAPI

from api.app import create_app
from orchestrator.composition.services import build_services
from orchestrator.domain.access import Principal, Scope
from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.errors import Unauthenticated
from orchestrator.domain.limits import SurfaceLimit, Tier, TierLimits, Window
from orchestrator.plugins import BUILT_IN
from orchestrator.services.access.authentication import ADMIN as BOOTSTRAP
from orchestrator.services.access.keys import KeyRequest
from orchestrator.services.container import Services
from orchestrator.testing import ADMIN_KEY, Engine, eventually, running_engine
from tests.api.commands import Account, Commands
from tests.catalogue import TEST_PLUGIN
from tests.workflows.test_retries import PLUGIN as RETRIES

ADMIN = {"Authorization": f"Bearer {ADMIN_KEY}"}


@dataclass
class Fixed:
    """A source that hands out these services."""

    given: Services
    closed: bool = False

    async def services(self) -> Services:
        return self.given

    async def aclose(self) -> None:
        self.closed = True


class Keys:
    """Stands in for `Authenticator`, which knows only the bootstrap key so far: tokens with scopes of their own."""

    def __init__(self, **scopes: set[Scope]) -> None:
        self._scopes = scopes

    def recognises(self, token: str) -> bool:
        return token in self._scopes

    async def authenticate(self, token: str | None) -> Principal:
        if token not in self._scopes:
            raise Unauthenticated("The API key is not valid")
        return Principal(id=token, scopes=frozenset(self._scopes[token]), tier=Tier.ENTERPRISE)


def over(app: FastAPI, **headers: str) -> httpx2.AsyncClient:
    """A client of an application, without a network and without start-up hooks."""
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://testserver", headers=headers)


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """The application on a real server: streams and disconnects need one.

    One server per application: with the first that stops, the streams of all of them would end.
    """
    assert not hasattr(app.state, "served"), "this application is served already"
    app.state.served = True
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=5))
    listener = socket.socket()
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as the product does
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        app.state.api.closing.set()
        server.should_exit = True
        await serving
        del app.state.served


@pytest.fixture(scope="session")
def orchestrator_plugins() -> list[Plugin]:
    """The same for every file of this folder: they share one engine."""
    return [BUILT_IN, TEST_PLUGIN, RETRIES]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def running(
    temporal_address: str, tmp_path_factory: pytest.TempPathFactory, orchestrator_plugins: list[Plugin]
) -> AsyncIterator[Engine]:
    """The engine behind the API, once its worker polls. All tests are one client: no limit is to meet them."""
    wide = dict.fromkeys(SurfaceLimit, Window(limit=10**6, seconds=60))
    folder = tmp_path_factory.mktemp("api")
    public = {Tier.PUBLIC: TierLimits(concurrent_jobs=10**6, monthly_tokens=10**9)}
    configured = {"surface_limits": wide, "tiers": public, "public_sessions": True}
    async with running_engine(temporal_address, folder, orchestrator_plugins, **configured) as engine:
        await eventually(engine.services.readiness.checks, lambda checks: all(check.ok for check in checks))
        yield engine


@pytest.fixture(scope="session")
def app(running: Engine) -> FastAPI:
    return create_app(Fixed(running.services))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """A client with the admin key."""
    async with over(app, **ADMIN) as opened:
        yield opened


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def live(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """A client with the admin key, over a real connection."""
    async with served(app) as url, httpx2.AsyncClient(base_url=url, headers=ADMIN, timeout=30) as opened:
        yield opened


@pytest.fixture(scope="session")
def app_with(running: Engine) -> Callable[..., FastAPI]:
    """Makes an application over the same engine with some services changed."""

    def make(**changes: Any) -> FastAPI:
        return create_app(Fixed(replace(running.services, **changes)))

    return make


@pytest.fixture(scope="session")
def product(running: Engine) -> Callable[..., FastAPI]:
    """Makes an application over the same engine with the limits of an installation where nothing is configured, and
    some settings. Its windows have counted nothing yet."""

    def make(**settings: Any) -> FastAPI:
        parts = running.parts
        stock = {"tiers": {}, "surface_limits": {}, "public_sessions": None}
        changed = parts.settings.model_copy(update={**stock, **settings})
        services = build_services(changed, parts.catalogue, parts.backend)
        return create_app(Fixed(services))

    return make


@pytest.fixture(scope="session")
def key(running: Engine) -> Callable[..., Awaitable[dict[str, str]]]:
    """Issues a real key and gives the headers that carry it: every scope but `admin:*` and no limits by default."""

    async def issue(
        scopes: Collection[Scope] = frozenset(Scope) - {Scope.ADMIN}, tier: Tier = Tier.ENTERPRISE, **more: Any
    ) -> dict[str, str]:
        request = KeyRequest(more.pop("name", "test"), frozenset(scopes), tier, **more)
        return {"Authorization": f"Bearer {(await running.services.keys.issue(BOOTSTRAP, request)).token}"}

    return issue


@pytest_asyncio.fixture(loop_scope="session")
async def account(live: httpx2.AsyncClient, key: Callable[..., Awaitable[dict[str, str]]]) -> AsyncIterator[Account]:
    """A caller of its own, with a command line: its lists hold what its test started, and nothing else."""
    headers = await key()
    token = headers["Authorization"].removeprefix("Bearer ")
    async with httpx2.AsyncClient(base_url=live.base_url, headers=headers, timeout=30) as http:
        yield Account(http, Commands(str(live.base_url), token))
