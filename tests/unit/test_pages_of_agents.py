"""The pages that agents read: only of public addresses, only text, each redirect checked again."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from orchestrator.delivery.pages import PageReader
from orchestrator.domain.errors import AgentError
from orchestrator.domain.turns import TOOL_FAILED


@pytest_asyncio.fixture(loop_scope="session")
async def site() -> AsyncIterator[str]:
    def route(path: str, response: Response) -> Route:
        async def answer(request: Request) -> Response:
            return response

        return Route(path, answer)

    routes = [
        route("/text", PlainTextResponse("Grüße")),
        route("/image", Response(b"\x89PNG", media_type="image/png")),
        route("/long", PlainTextResponse("x" * (1024 * 1024 + 1))),
        route("/busy", PlainTextResponse("", status_code=503)),
        route("/lost", PlainTextResponse("", status_code=404)),
        route("/there", RedirectResponse("/text")),
        route("/inside", RedirectResponse("http://169.254.169.254/latest/meta-data")),
        route("/circle", RedirectResponse("/circle")),
    ]
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    config = uvicorn.Config(Starlette(routes=routes), log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await serving


async def read(url: str, *, allow_private: bool = True, hosts: tuple[str, ...] = ()) -> str:
    pages = PageReader(allow_private=allow_private)
    try:
        return await pages.read(url, owner="ada", seconds=10, hosts=hosts)
    finally:
        await pages.aclose()


async def test_a_page_is_read_as_text_through_redirects(site: str):
    assert await read(f"{site}/there") == "Grüße"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/image", "The page is no text: its type is image/png."),
        ("/long", "longer than 1 MB"),
        ("/lost", "HTTP 404"),
        ("/circle", "redirects more than 5 times"),
    ],
)
async def test_what_is_no_page_is_a_failure_for_the_model(site: str, path: str, message: str):
    with pytest.raises(AgentError, match=message) as failed:
        await read(site + path)
    assert (failed.value.kind, failed.value.retryable) == (TOOL_FAILED, False)


async def test_a_busy_server_is_asked_again(site: str):
    with pytest.raises(AgentError, match="HTTP 503") as failed:
        await read(f"{site}/busy")
    assert failed.value.retryable


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "http://2130706433/", "http://localhost/", "file:///etc/passwd"])
async def test_private_addresses_are_refused(url: str):
    with pytest.raises(AgentError, match="This address cannot be read") as failed:
        await read(url, allow_private=False)
    assert failed.value.kind == TOOL_FAILED


async def test_other_hosts_are_refused_also_after_a_redirect(site: str):
    assert await read(f"{site}/there", hosts=("127.0.0.1",)) == "Grüße"
    with pytest.raises(AgentError, match=r"169\.254\.169\.254 is not one of"):
        await read(f"{site}/inside", hosts=("127.0.0.1",))
    with pytest.raises(AgentError, match="is not one of"):
        await read(f"{site}/text", hosts=("acme.test",))
