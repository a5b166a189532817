"""A scripted proxy between a library and a server: injects faults, records what it saw. See `sdks/conformance`."""

import asyncio
import json
import re
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from fnmatch import fnmatchcase
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

LARGEST_HEAD = 65_536


@dataclass(frozen=True)
class Seen:
    """One request as the library sent it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def place(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class Fault:
    """One fault of the script and how often it is still to happen."""

    script: dict[str, Any]
    left: int

    def meets(self, seen: Seen) -> bool:
        return self.left > 0 and fnmatchcase(seen.place, self.script["on"])


@dataclass
class Proxy:
    """Listens for one scenario. `restart` restarts the server behind it."""

    upstream: str
    script: list[dict[str, Any]]
    restart: Callable[[], Awaitable[None]] | None = None
    seen: list[Seen] = field(default_factory=list)
    url: str = ""

    def __post_init__(self) -> None:
        self._faults = [Fault(fault, fault.get("times", 1)) for fault in self.script]
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._restarting: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=LARGEST_HEAD)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        if self._restarting is not None:
            await self._restarting
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def connections(self) -> int:
        """How many connections of the library are open."""
        return len(self._open)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        # A library that goes away is noticed even while nothing is sent to it.
        try:
            seen = await _read_request(reader)
            if seen is None:
                return
            self.seen.append(seen)
            serving = asyncio.create_task(self._serve_or_break(seen, writer))
            leaving = asyncio.create_task(reader.read(1))
            await asyncio.wait({serving, leaving}, return_when=asyncio.FIRST_COMPLETED)
            for one in (serving, leaving):
                if not one.done():
                    one.cancel()
            await asyncio.gather(serving, leaving, return_exceptions=True)
            if not serving.cancelled():
                serving.result()
        except OSError:
            pass  # the library went away in the middle of its request
        finally:
            self._open.discard(writer)
            self._tasks.discard(task)
            writer.close()

    async def _serve_or_break(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        """A server that is away, or dies, breaks the library's connection."""
        try:
            await self._serve(seen, writer)
        except (OSError, asyncio.IncompleteReadError):
            _reset(writer)

    async def _serve(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        fault = next((fault for fault in self._faults if fault.meets(seen)), None)
        if fault is None:
            await self._pass(seen, writer, {})
            return
        fault.left -= 1
        script = fault.script
        match script["do"]:
            case "answer":
                passed = await self._fetch(seen) if script.get("pass") else b""
                writer.write(_scripted(script, passed))
            case "cut" if script["when"] == "before":
                _reset(writer)
            case "cut" if script["when"] == "after":
                await self._fetch(seen)
                _reset(writer)
            case "hold":
                await asyncio.sleep(script["seconds"])
                await self._pass(seen, writer, {})
            case "merge":
                head, body = _split(await self._fetch(seen))
                merged = json.dumps(_merge(json.loads(body), script["body"])).encode()
                writer.write(_with_length(head, merged))
            case "drip":
                await _drip(writer, script["seconds"])
            case "log":
                await _serve_log(seen, writer, script["count"], script["every"])
            case "cut" | "stall" | "insert" | "restart":
                await self._pass(seen, writer, script)
            case unknown:
                raise AssertionError(f"no such fault: {unknown}")
        await writer.drain()

    async def _pass(self, seen: Seen, writer: asyncio.StreamWriter, script: dict[str, Any]) -> None:
        """Pass a request on and its answer back, with what the script does to the answer."""
        if script.get("do") == "restart" and "events" not in script:
            self._restart_soon(script["after"])
            script = {}
        reader, upstream = await self._connect()
        try:
            upstream.write(_forwarded(seen))
            head = await reader.readuntil(b"\r\n\r\n")
            if b"text/event-stream" in head.lower():
                await self._pass_stream(head, reader, writer, script)
            elif script.get("do") == "cut":
                await _cut((head + await reader.read())[: len(head) + script["bytes"]], writer)
            else:
                writer.write(head)
                while piece := await reader.read(65_536):
                    writer.write(piece)
                    await writer.drain()
        finally:
            upstream.close()

    async def _pass_stream(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, script: dict[str, Any]
    ) -> None:
        """Pass a stream on frame by frame, until the script's event."""
        # A stream is sent as it is and not in the server's chunks, which would not fit what is inserted.
        writer.write(re.sub(rb"(?i)transfer-encoding: chunked\r\n", b"", head))
        sent: list[str] = []
        async for frame in _frames(_unchunked(head, reader)):
            if script and len(sent) == script["events"] and _is_event(frame):
                if script["do"] != "insert":
                    await self._break(reader, writer, script["do"])
                    return
                frames = [_repeated(text, sent) for text in script["frames"]]
                writer.write("".join(f"{text}\n\n" for text in frames).encode())
                if script.get("end"):
                    return
                script = {}
            if _is_event(frame):
                sent.append(frame.decode().removesuffix("\n\n"))
            writer.write(frame)
            await writer.drain()

    async def _break(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, how: str) -> None:
        """Break a stream off."""
        await writer.drain()
        if how == "stall":
            await asyncio.Event().wait()
        if how == "restart":
            self._restart_soon(0)
            while await reader.read(65_536):  # until the server is dead
                pass
        _reset(writer)

    def _restart_soon(self, seconds: float) -> None:
        """Kill the server in so many seconds, which breaks what it answers, and start it again."""
        assert self.restart is not None, "this scenario needs a server of its own process"
        self._restarting = asyncio.create_task(_after(seconds, self.restart))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = self.upstream.removeprefix("http://").partition(":")
        return await asyncio.open_connection(host, int(port), limit=2**26)

    async def _fetch(self, seen: Seen) -> bytes:
        """The server's whole answer."""
        reader, upstream = await self._connect()
        try:
            upstream.write(_forwarded(seen))
            return await reader.read()
        finally:
            upstream.close()


async def _read_request(reader: asyncio.StreamReader) -> Seen | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b"".join([chunk async for chunk in _chunks(reader)])
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Seen(method, target, headers, body, time.monotonic())


async def _chunks(reader: asyncio.StreamReader) -> Any:
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        yield (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")


async def _unchunked(head: bytes, reader: asyncio.StreamReader) -> Any:
    if b"transfer-encoding: chunked" in head.lower():
        async for chunk in _chunks(reader):
            yield chunk
        return
    while piece := await reader.read(65_536):
        yield piece


async def _frames(pieces: Any) -> Any:
    """Whole frames, each with the blank line that ends it."""
    text = b""
    async for piece in pieces:
        *whole, text = re.split(rb"(?<=\n\n)", text + piece) if b"\n\n" in text + piece else [text + piece]
        for frame in whole:
            yield frame
    if text:
        yield text


def _is_event(frame: bytes) -> bool:
    return re.search(rb"^id:", frame, re.MULTILINE) is not None


def _repeated(text: str, sent: list[str]) -> str:
    """A frame to insert; `{{frame.2}}` is the second one of those that were sent."""
    match = re.fullmatch(r"\{\{frame\.(\d+)\}\}", text)
    return sent[int(match[1]) - 1] if match else text


def _forwarded(seen: Seen) -> bytes:
    """The request for the server; the connection serves no other."""
    dropped = ("host", "connection", "content-length", "transfer-encoding", "accept-encoding")
    lines = [f"{name}: {value}" for name, value in seen.headers.items() if name not in dropped]
    head = [f"{seen.method} {seen.target} HTTP/1.1", "host: 127.0.0.1", "connection: close", *lines]
    if seen.body or seen.method in ("POST", "PATCH", "PUT"):
        head.append(f"content-length: {len(seen.body)}")
    return "\r\n".join([*head, "", ""]).encode("latin-1") + seen.body


def _split(answer: bytes) -> tuple[bytes, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", body


def _with_length(head: bytes, body: bytes) -> bytes:
    return re.sub(rb"(?i)content-length: \d+", b"content-length: %d" % len(body), head) + body


def _scripted(script: dict[str, Any], passed: bytes) -> bytes:
    body = script.get("body", {})
    text = body if isinstance(body, str) else json.dumps(body)
    if passed:
        fields = json.loads(_split(passed)[1])
        text = re.sub(r"\{\{answer\.(\w+)\}\}", lambda match: str(fields[match[1]]), text)
    kind = "text/html" if isinstance(body, str) else "application/json"
    headers = {"content-type": kind, "content-length": str(len(text.encode())), "connection": "close"}
    headers |= {name: _dated(value) for name, value in script.get("headers", {}).items()}
    lines = [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {script['status']} Scripted", *lines, "", text]).encode()


def _dated(value: str) -> str:
    if match := re.fullmatch(r"\{\{date([+-]\d+)\}\}", value):
        return format_datetime(datetime.now(UTC) + timedelta(seconds=int(match[1])), usegmt=True)
    return value


async def _cut(answer: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(answer)
    await writer.drain()
    _reset(writer)


async def _drip(writer: asyncio.StreamWriter, seconds: float) -> None:
    """An answer that never ends and never is silent for long."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(seconds)


async def _serve_log(seen: Seen, writer: asyncio.StreamWriter, count: int, every: int) -> None:
    """A log of `count` events, `run:1` onwards; each connection ends after `every` of them."""
    after = seen.headers.get("last-event-id", "run:0")
    first = int(after.partition(":")[2]) + 1
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
    for number in range(first, min(first + every, count + 1)):
        event = _event(number, count)
        data = json.dumps(event, ensure_ascii=False)
        writer.write(f"event: {event['type']}\ndata: {data}\nid: {event['id']}\n\n".encode())
        if number % 100 == 0:
            await writer.drain()


def _event(number: int, count: int) -> dict[str, Any]:
    ends = number == count
    return {
        "id": f"run:{number}",
        "type": "job_completed" if ends else "job_progress",
        "name": "job.completed" if ends else "agent.completed",
        "job_id": "wf_job_1",
        "status": "completed" if ends else "running",
        "state": "COMPLETED" if ends else "RUNNING",
        "progress": 100 * number // count,
        "current_step": "a",
        "message": "é" * 20,
        "timestamp": "2024-12-09T10:30:00Z",
        "data": {},
    }


def _merge(into: Any, body: Any) -> Any:
    if isinstance(into, dict) and isinstance(body, dict):
        return {**into, **{name: _merge(into.get(name), value) for name, value in body.items()}}
    return body


def _reset(writer: asyncio.StreamWriter) -> None:
    """Cut a connection as a crash does: with a reset, not with an orderly end."""
    if (sock := writer.get_extra_info("socket")) is not None and sock.fileno() >= 0:
        sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()


async def _after(seconds: float, action: Callable[[], Awaitable[None]]) -> None:
    await asyncio.sleep(seconds)
    await action()
