"""The page over one running engine: visitors in process, and visitors with a browser."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI

from orchestrator.domain.catalogue import Plugin
from orchestrator.domain.expressions import cel
from orchestrator.domain.plans import Approval
from orchestrator.plugins import BUILT_IN
from orchestrator.testing import ADMIN_KEY
from tests.api.conftest import app, app_with, key, over, product, running, served
from tests.catalogue import TEST_PLUGIN, step, workflow
from tests.page.browser import Browser, running_browser

__all__ = ["app", "app_with", "key", "product", "running"]

HTML = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}


LONG = Plugin(
    name="long",
    workflows=(
        workflow("t_two_hundred", *(step(f"s{number}", "t_echo") for number in range(200))),
        workflow(
            "t_each",
            step("first", "t_echo"),
            step(
                "each",
                "t_echo",
                needs=("first",),
                for_each=cel("input.items"),
                input={"text": cel("item")},
                approval=Approval(message="Each of them?"),
            ),
        ),
    ),
)


@pytest.fixture(scope="session")
def orchestrator_plugins() -> list[Plugin]:
    """The catalogue of the suite, a workflow of two hundred steps, and one whose number of calls is open."""
    return [BUILT_IN, TEST_PLUGIN, LONG]


@dataclass(frozen=True)
class Visit:
    """A client with the cookies of one visitor."""

    http: httpx2.AsyncClient

    async def sign_in(self, **fields: str) -> httpx2.Response:
        """Fill in the form of the sign-in."""
        return await self.post("/ui/sign-in", page="/ui/sign-in", **fields)

    async def post(self, path: str, *, page: str = "/ui/jobs", **fields: str) -> httpx2.Response:
        """Send a form with the token of a page."""
        return await self.http.post(path, data={"csrf": await self.csrf(page), **fields})

    async def csrf(self, page: str = "/ui/jobs") -> str:
        """The token of the forms of a page."""
        token = re.search(r'name="csrf" value="([^"]+)"', (await self.http.get(page)).text)
        assert token is not None
        return token[1]


@pytest_asyncio.fixture(loop_scope="session")
async def visit(app: FastAPI) -> AsyncIterator[Visit]:
    """Somebody who has not signed in."""
    async with over(app, **HTML) as http:
        yield Visit(http)


@pytest.fixture
def visitor_of(app: FastAPI) -> Callable[[str], Awaitable[Visit]]:
    """Signs in with a key."""

    async def opened(token: str) -> Visit:
        visit = Visit(over(app, **HTML))
        assert (await visit.sign_in(key=token)).status_code == 303
        return visit

    return opened


@pytest_asyncio.fixture(loop_scope="session")
async def admin(visitor_of: Callable[[str], Awaitable[Visit]]) -> Visit:
    """The administrator."""
    return await visitor_of(ADMIN_KEY)


@pytest_asyncio.fixture(loop_scope="session")
async def owner(visitor_of: Callable[[str], Awaitable[Visit]], key: Callable[..., Awaitable[dict[str, str]]]) -> Visit:
    """A visitor with a key of their own."""
    return await visitor_of((await key())["Authorization"].removeprefix("Bearer "))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(app_with: Callable[..., FastAPI]) -> AsyncIterator[str]:
    """The address of the page on a real server."""
    async with served(app_with()) as url:
        yield url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    """One headless Chromium for the whole run."""
    async with running_browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened
