"""The proxy before the Temporal UI: this machine's names alone, and nothing of a request or an answer is lost."""

import asyncio
import gzip
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.commandline.dev import _embedded
from orchestrator.commandline.server import temporal_ui
from orchestrator.commandline.server.http_server import ApiServer
from orchestrator.commandline.server.ports import listen, url_of
from orchestrator.commandline.server.tasks import beside
from orchestrator.settings import Settings


async def echo(request: Request) -> Response:
    echoed = {
        "method": request.method,
        "target": request.scope["raw_path"].decode() + "?" + request.scope["query_string"].decode(),
        "host": request.headers["host"],
        "cookie": request.headers.get("cookie"),
        "body": (await request.body()).decode(),
    }
    answer = Response(gzip.compress(json.dumps(echoed).encode()), 201, {"content-encoding": "gzip"}, "application/json")
    answer.set_cookie("a", "1")
    answer.set_cookie("b", "2")
    return answer


UPSTREAM = Starlette(routes=[Route("/{path:path}", echo, methods=["GET", "POST", "DELETE"])])


@asynccontextmanager
async def ui() -> AsyncIterator[httpx2.AsyncClient]:
    stop = asyncio.Event()
    with listen("127.0.0.1", 0, "--ui-port") as inner, listen("127.0.0.1", 0, "--ui-port") as outer:
        upstream = ApiServer(UPSTREAM, inner, keep_alive=5).run_until(stop)
        async with (
            beside(upstream, stop),
            beside(temporal_ui.serve(outer, url_of(inner), stop), stop),
            httpx2.AsyncClient(base_url=url_of(outer), trust_env=False) as client,
        ):
            yield client


async def test_strange_names_are_refused_and_the_rest_passes_whole() -> None:
    async with ui() as client:
        for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "localhost,evil"):
            assert (await client.get("/api/v1/namespaces", headers={"Host": host})).status_code == 400
        for host in ("localhost:8233", "127.0.0.1:8233", "[::1]:8233", "LOCALHOST"):
            answer = await client.post("/a%2Fb?q=%41&q=2", headers={"Host": host, "Cookie": "c=d"}, content=b"text")
            assert answer.status_code == 201
            assert answer.json() == {
                "method": "POST",
                "target": "/a%2Fb?q=%41&q=2",
                "host": host,
                "cookie": "c=d",
                "body": "text",
            }
            assert [value.split(";")[0] for value in answer.headers.get_list("set-cookie")] == ["a=1", "b=2"]


async def test_the_start_of_the_ui_logs_nothing_of_the_server(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("uvicorn", "uvicorn.error"):  # Earlier tests may have configured them.
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
        monkeypatch.setattr(logging.getLogger(name), "disabled", False)
    with caplog.at_level("INFO", "uvicorn.error"), listen("127.0.0.1", 0, "--ui-port") as listener:
        stop = asyncio.Event()
        async with (
            beside(temporal_ui.serve(listener, "http://127.0.0.1:1", stop), stop),
            httpx2.AsyncClient(base_url=url_of(listener), trust_env=False) as client,
        ):
            assert (await client.get("/")).status_code == 502
    assert not [record for record in caplog.records if "lifespan" in record.getMessage()]
    assert any(record.name.startswith("uvicorn") for record in caplog.records)


async def test_a_ui_that_is_down_says_so() -> None:
    async with httpx2.AsyncClient(base_url="http://127.0.0.1:1", trust_env=False) as nowhere:
        transport = httpx2.ASGITransport(temporal_ui.guarded(nowhere))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answer = await client.get("/")
    assert (answer.status_code, answer.text) == (502, "The Temporal UI does not answer (ConnectError).\n")


@pytest.mark.parametrize(
    ("host", "named", "names"),
    [
        ("127.0.0.1", None, "localhost,127.0.0.1,[::1]"),
        ("::1", None, "localhost,127.0.0.1,[::1]"),
        ("0.0.0.0", None, "localhost,127.0.0.1,[::1],0.0.0.0"),
        ("192.168.1.5", None, "localhost,127.0.0.1,[::1],192.168.1.5"),
        ("fd00::5", None, "localhost,127.0.0.1,[::1],[fd00::5]"),
        ("127.0.0.1", "*", "*"),
        ("0.0.0.0", "orchestrator.example,[::1]", "orchestrator.example,[::1]"),
    ],
)
def test_dev_answers_to_this_machines_names_by_default(host: str, named: str | None, names: str) -> None:
    settings = Settings() if named is None else Settings(trusted_hosts=named)
    assert _embedded(settings, host).trusted_hosts == names
