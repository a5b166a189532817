"""What the Python library makes of servers that answer nonsense, and of threads, forks and event loops."""

import asyncio
import gzip
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import httpx2
import pytest

from devora import AsyncDevoraClient, DevoraClient, DevoraError

AGENTS = b'{"agents": [], "total": 0}'
JSON = {"Content-Type": "application/json"}
SSE = {"Content-Type": "text/event-stream"}
FRAME = b"event: job_completed\ndata: %s\nid: r:1\n\n"

CALLS: dict[str, Callable[[DevoraClient], object]] = {
    "one": lambda client: client.agents.list().to_dict(),
    "page": lambda client: list(client.jobs.list()),
    "wait": lambda client: client.jobs.wait("job_1", timeout=0.2),
    "execute": lambda client: client.agents.execute("a", {}, timeout=0.2),
    "stream": lambda client: list(client.jobs.stream("job_1", timeout=0.2)),
    "delete": lambda client: client.webhooks.delete("wh_1"),
    "create": lambda client: client.webhooks.create("https://x.example", ["job.completed"]),
    "ready": lambda client: client.health(),
}
ANSWERS: dict[str, tuple[int, dict[str, str], bytes]] = {
    "nothing": (200, JSON, b""),
    "null": (200, JSON, b"null"),
    "a list": (200, JSON, b"[1]"),
    "a number": (200, JSON, b"1e999"),
    "wrong types": (
        200,
        JSON,
        b'{"jobs": 5, "agents": {}, "status": [], "output": 1, "error": "x", "metrics": [], "checks": 1}',
    ),
    "wrong items": (200, JSON, b'{"jobs": [1, null], "next": {}, "has_more": "yes", "status": "failed", "steps": 7}'),
    "half of it": (200, JSON, b'{"agents": ['),
    "nested": (200, JSON, b"[" * 100_000),
    "nested error": (500, JSON, b'{"error": ' * 50_000),
    "not text": (200, JSON, b'\xff\xfe{"a": 1}'),
    "a page": (200, {"Content-Type": "text/html"}, b"<html>welcome"),
    "a gateway's page": (502, {"Content-Type": "text/html"}, b"<html>\xff"),
    "an error of numbers": (
        400,
        JSON,
        b'{"error": {"code": 5, "message": [], "details": "x", "request_id": {}, "retry_after": "soon"}}',
    ),
    "an error that is a text": (404, JSON, b'{"error": "no"}'),
    "a wait of ages": (429, {"Retry-After": "1e400"}, b"{}"),
    "a wait until nowhere": (503, {"Retry-After": "Fri, 99 Foo 99999"}, b"{}"),
    "a redirect to elsewhere": (307, {"Location": "http://elsewhere.example/v1"}, b""),
    "a redirect without an end": (302, {"Location": "/v1/agents"}, b""),
    "no content": (204, {}, b""),
    "a partial answer": (206, JSON, b"{}"),
    "a frame of nothing": (200, SSE, FRAME % b""),
    "a frame of a list": (200, SSE, FRAME % b"[]"),
    "an event of wrong types": (200, SSE, FRAME % b'{"id": 5, "type": [], "name": {}, "data": 7, "timestamp": {}}'),
    "an error frame of numbers": (200, SSE, b"event: stream_error\ndata: 5\n\n"),
    "an error frame of wrong types": (
        200,
        SSE,
        b'event: stream_error\ndata: {"error": {"code": [], "message": {}}}\n\n',
    ),
    "a frame without an end": (200, SSE, b"data: {"),
    "not gzip": (200, {**JSON, "Content-Encoding": "gzip"}, b"{}"),
    "an unknown encoding": (200, {**JSON, "Content-Type": "application/json; charset=nonsense"}, AGENTS),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("answer", ANSWERS)
def test_nonsense_is_an_error_of_the_library(answer: str, call: str) -> None:
    """Whatever comes is a result, or a `DevoraError`; the key goes nowhere else."""
    status, headers, body = ANSWERS[answer]
    hosts: set[str] = set()

    def handle(request: httpx2.Request) -> httpx2.Response:
        hosts.add(request.url.host)
        return httpx2.Response(status, headers=headers, stream=httpx2.ByteStream(body))

    http = httpx2.Client(transport=httpx2.MockTransport(handle), follow_redirects=True)
    with DevoraClient("k", "http://mock", http_client=http, max_retries=1) as client:
        client._transport.config.backoff = client._transport.config.stream_backoff = 0.001
        with suppress(DevoraError):
            CALLS[call](client)
    assert hosts == {"mock"}


def test_an_answer_that_no_memory_should_hold_is_given_up() -> None:
    bomb = gzip.compress(b"0" * (65 * 2**20))
    assert len(bomb) < 100_000
    headers = {**JSON, "Content-Encoding": "gzip"}
    for status in (200, 500):
        http = httpx2.Client(
            transport=httpx2.MockTransport(lambda _, s=status: httpx2.Response(s, headers=headers, content=bomb))
        )
        with pytest.raises(DevoraError, match="larger than 64 MiB"):
            DevoraClient("k", "http://mock", http_client=http, max_retries=0).agents.list()


@contextmanager
def raw_server(*answers: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Answers each connection's requests with the next bytes, the last ones again and again; keeps connections open."""
    heads: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))
    left = list(answers)

    def talk(connection: socket.socket) -> None:
        with connection, suppress(ConnectionResetError):
            while head := connection.recv(65536):
                heads.append(head)
                connection.sendall(left.pop(0) if len(left) > 1 else left[0])

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", heads
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def answer_of(body: bytes, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", "content-type: application/json", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@pytest.mark.parametrize(
    "broken",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 999 \r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 2**20 + b"\r\n\r\n",
    ],
)
def test_an_answer_that_is_no_http_is_an_error_of_the_library(broken: bytes) -> None:
    with raw_server(broken) as (url, _), DevoraClient("k", url, max_retries=1, timeout=5) as client:
        client._transport.config.backoff = 0.001
        with pytest.raises(DevoraError):
            client.agents.list()


def test_many_threads_use_one_client() -> None:
    with (
        raw_server(answer_of(AGENTS)) as (url, heads),
        DevoraClient("k", url) as client,
        ThreadPoolExecutor(16) as threads,
    ):
        totals = list(threads.map(lambda _: client.agents.list().total, range(64)))
    assert totals == [0] * 64
    assert len(heads) == 64


def test_a_fork_opens_connections_of_its_own() -> None:
    """A child that wrote to the connections of its parent would take the parent's answers."""
    with raw_server(answer_of(AGENTS)) as (url, _), DevoraClient("k", url) as client:
        client.agents.list()
        pool = client._transport._http()
        child = os.fork()
        if child == 0:
            mine = client._transport._http()
            os._exit(0 if mine is not pool and not mine.is_closed else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert client._transport._http() is pool
        client.agents.list()


def test_a_client_for_asyncio_outlives_its_event_loop() -> None:
    """As in notebooks and tests, where each call has a loop of its own."""
    with raw_server(answer_of(AGENTS)) as (url, _):
        client = AsyncDevoraClient("k", url)

        async def ask() -> int | None:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(client.agents.list()) for _ in range(4)]
            return sum(task.result().total or 0 for task in tasks)

        assert [asyncio.run(ask()) for _ in range(3)] == [0, 0, 0]

        async def close() -> None:
            await client.agents.list()
            await client.aclose()

        asyncio.run(close())


async def test_the_client_for_threads_works_inside_a_running_loop() -> None:
    with raw_server(answer_of(AGENTS)) as (url, _), DevoraClient("k", url) as client:
        assert client.agents.list().total == 0


async def test_a_closed_client_says_so() -> None:
    client = DevoraClient("k", "http://127.0.0.1:9")
    client.close()
    client.close()
    later = AsyncDevoraClient("k", "http://127.0.0.1:9")
    await later.aclose()
    theirs = httpx2.Client()
    theirs.close()
    for call in (client.agents.list, DevoraClient("k", "http://m", http_client=theirs).agents.list):
        with pytest.raises(DevoraError, match="client is closed") as refused:
            call()
        assert refused.value.code == "client_closed"
    with pytest.raises(DevoraError, match="client is closed"):
        await later.agents.list()


def test_ten_thousand_events_are_not_kept() -> None:
    """Memory does not grow with the length of a stream."""
    import tracemalloc

    def frames() -> Iterator[bytes]:
        for number in range(10_000):
            event = {"id": f"r:{number}", "type": "job_progress", "name": "agent.completed", "message": "x" * 500}
            yield b"data: " + json.dumps(event).encode() + b"\n\n"
        yield FRAME % b'{"type": "job_completed"}'

    class Frames(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            return frames()

    http = httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, headers=SSE, stream=Frames())))
    peaks: list[int] = []
    tracemalloc.start()
    try:
        for number, _ in enumerate(DevoraClient("k", "http://mock", http_client=http).jobs.stream("job_1")):
            if number in (6000, 9999):
                peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    assert number == 10_000
    assert peaks[1] - peaks[0] < 200_000


def test_a_task_that_is_cancelled_leaves_nothing_behind() -> None:
    async def cancel_one() -> set[Any]:
        with raw_server(b"HTTP/1.1 200 OK\r\n") as (url, _):
            async with AsyncDevoraClient("k", url) as client:
                tasks = [
                    asyncio.ensure_future(call)
                    for call in (client.agents.list(), client.jobs.wait("j"), client.agents.execute("a", {}))
                ]
                tasks.append(asyncio.ensure_future(anext(client.jobs.stream("j"))))
                await asyncio.sleep(0.05)
                for task in tasks:
                    task.cancel()
                ended = await asyncio.gather(*tasks, return_exceptions=True)
                assert all(isinstance(each, asyncio.CancelledError) for each in ended)
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(cancel_one()) == set()
