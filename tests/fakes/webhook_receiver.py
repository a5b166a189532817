"""A local receiver of webhooks: keeps every request and answers from a script, faults of the network included."""

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Answer:
    """An HTTP answer after `delay` seconds; with `endless` its body never ends."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0.0
    endless: bool = False


@dataclass(frozen=True)
class Fault:
    """What is sent instead of an answer, `below_tls` if so, and whether the connection is then reset or silent."""

    sends: bytes = b""
    reset: bool = False
    below_tls: bool = False


RESET = Fault(reset=True)
STALL = Fault()
HALF_BODY = Fault(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
DRIP = Fault(b"HTTP/1.1 200 OK\r\nX-Slow")
NOT_HTTP = Fault(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")


@dataclass(frozen=True)
class Received:
    """One request. Header names are in lower case; `sni` is the name that the TLS client asked for."""

    path: str
    headers: dict[str, str]
    body: bytes
    sni: str | None = None


class Receiver:
    """Gives the scripted answers in order, one per connection; the last one again when the script has ended."""

    def __init__(self, script: tuple[Answer | Fault, ...], tls: ssl.SSLContext | None) -> None:
        self.script = list(script)
        self.requests: list[Received] = []
        self.connections = 0
        self.left = asyncio.Event()
        self.port = 0
        self.path = "/hook"
        self._tls = tls
        self._sni: dict[ssl.SSLObject, str | None] = {}
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return self.url_for("127.0.0.1")

    def url_for(self, host: str) -> str:
        """The receiver's address under another name."""
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{self.path}"

    async def start(self) -> asyncio.Server:
        if self._tls:
            self._tls.sni_callback = self._named  # type: ignore[assignment]
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def stop(self) -> None:
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _named(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        self._sni[connection] = name

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.requests.append(await self._read(reader, writer))
            await self._answer(self.script.pop(0) if len(self.script) > 1 else self.script[0], reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            self.left.set()  # The client went away.
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Received:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        sni = self._sni.get(writer.get_extra_info("ssl_object"))
        return Received(path=first.split(" ")[1], headers=headers, body=body, sni=sni)

    async def _answer(self, answer: Answer | Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if isinstance(answer, Fault):
            connection = writer.get_extra_info("socket")
            if answer.below_tls:
                os.write(connection.fileno(), answer.sends)
            else:
                writer.write(answer.sends)
            if answer.reset:
                # Without lingering a close is a reset.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                return
            await reader.read()  # Silent until the client goes away.
            self.left.set()
            return
        await asyncio.sleep(answer.delay)
        length = 1 << 60 if answer.endless else len(answer.body)
        headers = {"Content-Length": str(length), **answer.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {answer.status} Scripted\r\n{head}\r\n".encode("latin-1") + answer.body)
        await writer.drain()
        while answer.endless:
            writer.write(b"x" * 65536)
            await writer.drain()


@asynccontextmanager
async def receiving(*answers: Answer | Fault, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A receiver on a free port of this machine: `url`, `requests` so far. Without a script it answers 200."""
    receiver = Receiver(answers or (Answer(),), tls)
    server = await receiver.start()
    try:
        yield receiver
    finally:
        server.close()
        await receiver.stop()
