"""The edge of the HTTP side: what it refuses before a route sees it, and what it never lets out."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import ValidationError
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs

from api.app import create_app
from api.hardening import ApiOptions, BodyTimeout, Deadline
from api.v1.envelope import render
from orchestrator.commandline.server.http_protocol import BoundedHttp
from orchestrator.commandline.server.http_server import ApiServer
from orchestrator.commandline.server.ports import listen
from orchestrator.testing import Engine, GivenSettings, eventually
from tests.api.conftest import ADMIN, Fixed, over
from tests.api.surface_documents import operations
from tests.ledger import ledger

EXECUTE = "/v1/agents/t_echo/execute"
SECRET = "hunter2 at /srv/secret.py"
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


@pytest.fixture
def guarded(running: Engine) -> Callable[..., FastAPI]:
    """Makes an application with some guards changed."""

    def make(**options: Any) -> FastAPI:
        return create_app(Fixed(running.services), options=lambda: ApiOptions(**options))

    return make


@asynccontextmanager
async def connected(
    app: FastAPI, protocol: type[BoundedHttp] = BoundedHttp, *, keep_alive: int = 75, proxies: str = ""
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection to the product's own server."""
    stop = asyncio.Event()
    with listen("127.0.0.1", 0, "--port") as listener:
        server = ApiServer(app, listener, keep_alive=keep_alive, proxies=proxies)
        server.config.http = protocol
        serving = asyncio.create_task(server.run_until(stop))
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        try:
            yield reader, writer
        finally:
            writer.close()
            stop.set()
            await serving


async def said(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """One response: status, headers, body."""
    async with asyncio.timeout(20):
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if line)
        return int(status.split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


async def closed(reader: asyncio.StreamReader) -> bool:
    async with asyncio.timeout(20):
        return await reader.read() == b""


def assert_refused(answer: httpx2.Response, status: int, field: str) -> None:
    """The answer is this error in the native envelope."""
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, "invalid_request")
    assert error["details"]["field"] == field
    assert isinstance(error["details"]["expected"], str)
    assert error["request_id"] == answer.headers["X-Request-ID"]


@ledger("D-095", "D-096")
@pytest.mark.parametrize(("size", "status"), [(8000, 404), (8192, 414), (60_000, 414)])
async def test_a_long_url_is_refused(client: httpx2.AsyncClient, size: int, status: int):
    answer = await client.get("/v1/agents/" + "a" * size)
    assert answer.status_code == status
    if status == 414:
        assert_refused(answer, 414, "url")
        assert_refused(await client.get("/v1/jobs?" + "a" * size), 414, "url")


@ledger("D-095", "D-096")
async def test_large_headers_are_refused(client: httpx2.AsyncClient):
    assert_refused(await client.get("/v1/agents", headers={"X-Large": "a" * 33_000}), 431, "headers")
    assert_refused(await client.get("/v1/agents", headers=[("X-Many", "a" * 20)] * 1200), 431, "headers")
    assert (await client.get("/v1/agents", headers={"X-Large": "a" * 30_000})).status_code == 200


@ledger("D-095", "D-096")
async def test_too_many_query_parameters_are_refused(client: httpx2.AsyncClient):
    assert_refused(await client.get("/v1/jobs?" + "&".join(f"p{n}=1" for n in range(101))), 400, "query")
    assert (await client.get("/healthz?" + "&".join(f"p{n}=1" for n in range(100)))).status_code == 200


@ledger("D-095", "D-097")
@pytest.mark.parametrize("opening", ['{"input":' + '{"a":' * 100_000, '{"input":{"a":' + "[" * 100_000, "[" * 100_000])
async def test_json_of_any_depth_is_bad_input(client: httpx2.AsyncClient, opening: str):
    closing = opening.count("{") * "}" if opening[-1] != "[" else "]" * 100_000 + opening.count("{") * "}"
    middle = "1" if opening[-1] != "[" else ""
    for content in (opening, opening + middle + closing):
        answer = await client.post(EXECUTE, content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "invalid_request"


@ledger("D-095", "D-096")
async def test_a_body_that_does_not_arrive_ends_the_request_and_its_connection(guarded: Callable[..., FastAPI]):
    head = f"POST {EXECUTE} HTTP/1.1\r\nHost: x\r\nAuthorization: {ADMIN['Authorization']}\r\n"
    head += 'Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{"input"'
    async with connected(guarded(body_seconds=0.05)) as (reader, writer):
        writer.write(head.encode())
        status, headers, body = await said(reader)
        assert (status, headers["connection"]) == (408, "close")
        assert json.loads(body)["error"]["code"] == "invalid_request"
        assert json.loads(body)["error"]["details"]["field"] == "body"
        assert await closed(reader)


async def test_waiting_for_a_client_to_leave_has_no_limit():
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.start", "status": 204, "headers": []})

    coming = iter([(0.0, {"type": "http.request", "body": b""}), (0.05, {"type": "http.disconnect"})])
    sent: list[Message] = []

    async def receive() -> Message:
        delay, message = next(coming)
        await asyncio.sleep(delay)
        return message

    async def send(message: Message) -> None:
        sent.append(message)

    await BodyTimeout(app, 0.01)({"type": "http"}, receive, send)
    assert [message["status"] for message in sent] == [204]


@ledger("D-095", "D-096")
async def test_a_request_that_never_ends_is_ended(guarded: Callable[..., FastAPI], client: httpx2.AsyncClient):
    started = await client.post("/v1/agents/t_slow/execute", json={"input": {}, "async": True})
    job = started.json()["links"]["self"]
    try:
        async with over(guarded(deadline_seconds=0.5), **ADMIN) as impatient:
            answer = await impatient.get(job, params={"wait": 60})
            assert answer.status_code == 503
            assert answer.json()["error"]["code"] == "service_unavailable"
            assert int(answer.headers["Retry-After"]) > 0

            async def status() -> int:
                return (await impatient.get(job)).status_code

            await eventually(status, lambda code: code == 200)
    finally:
        await client.post(f"{job}/cancel")


@pytest.mark.parametrize(("content_type", "whole"), [("text/event-stream; charset=utf-8", True), ("text/plain", False)])
async def test_only_event_streams_outlive_the_deadline(content_type: str, whole: bool):
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", content_type.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await asyncio.sleep(0.05)
        await send({"type": "http.response.body", "body": b"x"})

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    asked = Deadline(app, 0.01, render)({"type": "http"}, receive, send)
    if whole:
        await asked
    else:
        with pytest.raises(TimeoutError):
            await asked
    assert len(sent) == 1 + whole


class Brisk(BoundedHttp):
    head_seconds = 0.05


@pytest.mark.parametrize("sent", [b"GET /heal", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_a_head_that_does_not_arrive_ends_the_connection(guarded: Callable[..., FastAPI], sent: bytes):
    async with connected(guarded(), Brisk) as (reader, writer):
        writer.write(sent)
        assert (await said(reader))[0] == 408
        assert await closed(reader)


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n"])
async def test_an_idle_connection_is_closed(guarded: Callable[..., FastAPI], sent: bytes):
    async with connected(guarded(), Brisk) as (reader, writer):
        writer.write(sent)
        if b"GET" in sent:
            assert (await said(reader))[0] == 200
            writer.write(b"\r\n")
        async with asyncio.timeout(20):
            assert (await reader.read())[:12] in {b"", b"HTTP/1.1 408"}


class Cramped(BoundedHttp):
    most_open = staticmethod(lambda: 5)


async def test_idle_connections_make_room_for_those_that_ask(guarded: Callable[..., FastAPI]):
    async with connected(guarded(), Cramped) as (first, writer):
        address = writer.get_extra_info("peername")
        idle = [await asyncio.open_connection(*address) for _ in range(8)]
        assert await closed(first), "the one that is idle for the longest time"
        reader, last = await asyncio.open_connection(*address)
        last.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await said(reader))[0] == 200
        for _, opened in [*idle, (reader, last)]:
            opened.close()


@pytest.mark.parametrize(
    ("begin", "more", "status"),
    [
        (b"GET /v1/ws", b"X-Large: " + b"a" * 9000, 431),
        (b"GET /v1/ws", b"\r\n".join(b"X-%d: a" % number for number in range(200)), 431),
        (b"GET /v1/ws?" + b"a" * 9000, b"X: a", 414),
        (b"GET /v1/ws", b"Content-Length: 5", 400),
    ],
)
async def test_a_websocket_handshake_that_cannot_be_one_is_answered(
    guarded: Callable[..., FastAPI], begin: bytes, more: bytes, status: int
):
    upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY
    async with connected(guarded()) as (reader, writer):
        writer.write(begin + b" HTTP/1.1\r\nHost: x\r\n" + upgrade + b"\r\n" + more + b"\r\n\r\n")
        assert (await said(reader))[0] == status
        assert await closed(reader)


async def test_a_head_without_an_end_is_cut_off(guarded: Callable[..., FastAPI]):
    async with connected(guarded()) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Endless: ")
        for _ in range(40):
            writer.write(b"a" * 16_384)
        assert (await said(reader))[0] == 431


async def test_one_connection_takes_requests_one_after_another(guarded: Callable[..., FastAPI]):
    get = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    post = b"POST /v1/agents HTTP/1.1\r\nHost: x\r\nContent-Length: 150000\r\n\r\n" + b"a" * 150_000
    async with connected(guarded()) as (reader, writer):
        writer.write(get + get + post + get[:20])
        assert [(await said(reader))[0] for _ in range(3)] == [200, 200, 405]
        writer.write(get[20:])
        assert (await said(reader))[0] == 200


@ledger("D-095", "D-096")
async def test_a_long_url_is_refused_by_the_server_too(guarded: Callable[..., FastAPI]):
    async with connected(guarded()) as (reader, writer):
        writer.write(f"GET /v1/agents/{'a' * 9000} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        status, headers, body = await said(reader)
        assert (status, json.loads(body)["error"]["code"]) == (414, "invalid_request")
        assert "server" not in headers
        writer.write(f"GET /v1/agents/{'a' * 100_000} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert (await said(reader))[0] == 400  # the parser's own limit, in its own words
        assert await closed(reader)


@ledger("M-052", "C-64")
async def test_browsers_of_named_origins_may_call(guarded: Callable[..., FastAPI]):
    origin = "https://app.example.com"
    app = guarded(cors_origins=(origin,))
    async with over(app, **ADMIN) as client:
        for path, status in (("/v1/agents", 200), ("/nothing", 404), ("/v1/agents?" + "a" * 9000, 414)):
            answer = await client.get(path, headers={"Origin": origin})
            assert answer.status_code == status
            assert answer.headers["Access-Control-Allow-Origin"] == origin
            assert answer.headers["Access-Control-Allow-Credentials"] == "true"
            exposed = answer.headers["Access-Control-Expose-Headers"]
            assert {"X-Request-ID", "X-RateLimit-Remaining", "Retry-After", "Location"} <= set(exposed.split(", "))
        foreign = await client.get("/v1/agents", headers={"Origin": "https://evil.example.com"})
        assert "Access-Control-Allow-Origin" not in foreign.headers
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        asked["Access-Control-Request-Headers"] = "authorization,content-type,idempotency-key"
        preflight = await client.options(EXECUTE, headers=asked)
        assert preflight.status_code == 200
        assert "idempotency-key" in preflight.headers["Access-Control-Allow-Headers"]
        refused = await client.options(EXECUTE, headers={**asked, "Origin": "https://evil.example.com"})
        assert "Access-Control-Allow-Origin" not in refused.headers


async def test_browsers_of_any_origin_get_no_credentials(guarded: Callable[..., FastAPI]):
    async with over(guarded(cors_origins=("*",)), **ADMIN) as client:
        answer = await client.get("/v1/agents", headers={"Origin": "https://any.example.com"})
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_without_origins_there_is_nothing_for_browsers(client: httpx2.AsyncClient):
    answer = await client.get("/v1/agents", headers={"Origin": "https://app.example.com"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


@ledger("M-053")
@pytest.mark.parametrize(
    ("host", "served"),
    [
        ("api.example.com", True),
        ("API.example.com:8443", True),
        ("a.b.example.org", True),
        ("example.org", False),
        ("evil.com", False),
        ("api.example.com.evil.com", False),
        ("", False),
    ],
)
async def test_only_known_host_names_are_answered(guarded: Callable[..., FastAPI], host: str, served: bool):
    async with over(guarded(trusted_hosts=("api.example.com", "*.example.org")), **ADMIN) as client:
        answer = await client.get("/v1/agents", headers={"Host": host})
        if served:
            assert answer.status_code == 200
        else:
            assert_refused(answer, 400, "Host")
        for probe in ("/healthz", "/readyz"):
            assert (await client.get(probe, headers={"Host": host})).status_code == 200


async def test_guards_hold_for_websockets_too(guarded: Callable[..., FastAPI]):
    app = guarded(trusted_hosts=("api.example.com",))
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    for host, path in ((b"evil.com", b"/v1/ws"), (b"api.example.com", b"/v1/ws" + b"a" * 9000)):
        scope = {"type": "websocket", "scheme": "ws", "path": path.decode(), "raw_path": path, "query_string": b""}
        await app({**scope, "headers": [(b"host", host)], "subprotocols": []}, receive, send)
    assert [(message["type"], message["code"]) for message in sent] == [("websocket.close", 1008)] * 2


@pytest.mark.parametrize(
    ("origins", "hosts"),
    [("*, https://a.example.com", "*"), ("app.example.com", "*"), ("https://a.example.com/x", "*"), ("", "a.*.com")],
)
def test_unusable_origins_and_hosts_are_refused_at_the_start(origins: str, hosts: str):
    with pytest.raises(ValidationError):
        GivenSettings(cors_origins=origins, trusted_hosts=hosts)


def test_the_settings_make_the_options():
    settings = GivenSettings(
        cors_origins="https://a.example.com, http://localhost:3000", trusted_hosts="a.example.com,*.b.org"
    )
    options = ApiOptions.of(settings)
    assert options.cors_origins == ("https://a.example.com", "http://localhost:3000")
    assert options.trusted_hosts == ("a.example.com", "*.b.org")
    assert ApiOptions.of(GivenSettings()) == ApiOptions()
    for sync_timeout in (1.0, 600.0):
        assert ApiOptions.of(GivenSettings(sync_timeout=sync_timeout)).deadline_seconds > max(sync_timeout, 60)


async def test_every_answer_carries_the_headers_that_protect_browsers(client: httpx2.AsyncClient):
    for path in ("/v1/agents", "/nothing", "/healthz", "/v1/agents?" + "a" * 9000):
        headers = (await client.get(path)).headers
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert "Strict-Transport-Security" not in headers
    over_tls = await client.get("https://testserver/v1/agents")
    assert "max-age=" in over_tls.headers["Strict-Transport-Security"]


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_pages_may_load_what_they_name_and_nothing_else(client: httpx2.AsyncClient, path: str):
    page = await client.get(path)
    directives = [part.strip().split(" ") for part in page.headers["Content-Security-Policy"].split(";")]
    policy = {name: sources for name, *sources in directives}
    for directive, pattern in (
        ("script-src", r'<script src="([^"]+)"'),
        ("style-src", r'<link (?:type="text/css" )?(?:rel="stylesheet" )?(?:type="text/css" )?href="([^"]+css[^"]*)"'),
        ("img-src", r'<link rel="shortcut icon" href="([^"]+)"'),
    ):
        for url in re.findall(pattern, page.text):
            assert ("data:" if url.startswith("data:") else "'self'") in policy[directive], url
            if url.startswith("/"):
                file = await client.get(url)
                assert (file.status_code, len(file.content) > 100_000) == (200, True)
    assert re.search(r'<script src="/docs/files/', page.text)
    assert not [source for sources in policy.values() for source in sources if "//" in source]
    for outside in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert not urlsplit(outside).netloc, outside
    if "<script>" in page.text:
        assert "'unsafe-inline'" in policy["script-src"]
    assert policy["default-src"] == ["'none'"]
    assert policy["frame-ancestors"] == ["'none'"]


@pytest.mark.parametrize("name", ["LICENSES.txt", "..%2Fdocuments.py", "nothing.js"])
async def test_no_other_file_is_served_beside_the_pages(client: httpx2.AsyncClient, name: str):
    assert (await client.get(f"/docs/files/{name}")).status_code == 404


class Leaky:
    """Services, every one of which fails with something that is nobody's business."""

    def __getattr__(self, name: str) -> Any:
        raise ZeroDivisionError(SECRET)


LEAKY = create_app(Fixed(Leaky()))


def _every_operation() -> list[tuple[str, str]]:
    return list(operations())


async def test_no_answer_of_any_route_may_be_stored(client: httpx2.AsyncClient):
    """Secrets and what jobs are about: also in the answers of routes that are still to come."""
    for method, path in _every_operation():
        if path.endswith("/real-time") or path == "/v1/events":
            continue  # a stream without an end
        here = path.replace("{job_id}", "job_x").replace("{", "").replace("}", "")
        for headers in (ADMIN, {"Authorization": "Bearer none"}):
            answer = await client.request(method, here, headers=headers)
            assert answer.headers["Cache-Control"] == "no-store", (method, path)


@ledger("D-095", "D-096")
@pytest.mark.parametrize(("method", "path"), _every_operation())
async def test_no_fault_of_ours_is_shown(method: str, path: str):
    here = path.replace("{job_id}", "job_x").replace("{", "").replace("}", "")
    with capture_logs() as logs:
        async with over(LEAKY, **ADMIN) as client:
            answer = await client.request(method, here, json={"input": {}} if method == "POST" else None)
    assert "hunter2" not in answer.text
    assert "ZeroDivision" not in answer.text
    assert "Traceback" not in answer.text
    assert "hunter2" not in repr(answer.headers)
    if path.startswith("/v1/"):
        assert answer.status_code == 500
        assert answer.json()["error"]["code"] == "internal_error"
        assert "request_failed" in {line["event"] for line in logs}


@pytest.mark.parametrize(
    ("trusted", "sent", "prefix"),
    [
        ("127.0.0.1", "/orchestrator", "/orchestrator"),
        ("127.0.0.1", "/outer/, /inner", "/outer/inner"),
        ("127.0.0.1", "//evil.example", ""),
        ("127.0.0.1", '/a"><script>', ""),
        ("10.0.0.1", "/orchestrator", ""),
    ],
)
async def test_a_path_prefix_is_believed_of_a_trusted_proxy_only(running: Engine, trusted: str, sent: str, prefix: str):
    asked = f"GET /v1/jobs?limit=1 HTTP/1.1\r\nHost: x\r\nAuthorization: {ADMIN['Authorization']}\r\n"
    await running.run("t_echo", {})
    async with connected(create_app(Fixed(running.services)), proxies=trusted) as (reader, writer):
        writer.write(f"{asked}X-Forwarded-Prefix: {sent}\r\nX-Forwarded-Proto: https\r\n\r\n".encode())
        status, headers, body = await said(reader)
    assert status == 200
    assert json.loads(body)["jobs"][0]["links"]["self"].startswith(f"{prefix}/v1/jobs/")
    assert ("strict-transport-security" in headers) is (trusted == "127.0.0.1")


@pytest.mark.parametrize("path", ["/api", "/v1/x", "/chat/", "orchestrator", "/a b", "/x//y"])
def test_a_root_path_that_cannot_be_is_refused(path: str):
    with pytest.raises(ValidationError):
        GivenSettings(root_path=path)


def test_a_root_path_is_handed_on_without_its_last_slash():
    assert ApiOptions.of(GivenSettings(root_path="/orchestrator/")).root_path == "/orchestrator"


async def test_an_idle_connection_is_kept_as_long_as_the_setting_says(guarded: Callable[..., FastAPI]) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n"
    async with connected(guarded(), keep_alive=1) as (reader, writer):
        for _ in range(2):
            writer.write(request)
            assert (await said(reader))[0] == 200
        assert await closed(reader)
    async with connected(guarded(), keep_alive=3600) as (reader, writer):
        writer.write(request)
        assert (await said(reader))[0] == 200
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(), 1.5)


def test_an_idle_connection_outlives_that_of_the_usual_proxy() -> None:
    assert GivenSettings().http_keep_alive > 60
